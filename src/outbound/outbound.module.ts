import { Module, type OnApplicationShutdown } from '@nestjs/common';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/env.js';
import { OUTBOUND_OPTIONS, OutboundHttpClient } from './outbound-http.client.js';

/** Workers have drained by the time of this hook; what is still open belongs to no one. */
const SHUTDOWN_GRACE_MS = 1_000;

/**
 * Offers the one HTTP client that may talk to addresses which users chose. Needs the configuration
 * only. Knows nothing of webhooks, events or deliveries.
 */
@Module({
  providers: [
    {
      provide: OUTBOUND_OPTIONS,
      useFactory: (config: Config) => config.outbound,
      inject: [CONFIG],
    },
    OutboundHttpClient,
  ],
  exports: [OutboundHttpClient],
})
export class OutboundModule implements OnApplicationShutdown {
  constructor(private readonly client: OutboundHttpClient) {}

  async onApplicationShutdown(): Promise<void> {
    await this.client.close(SHUTDOWN_GRACE_MS);
  }
}

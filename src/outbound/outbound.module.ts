import { Module, type OnApplicationShutdown } from '@nestjs/common';
import { CONFIG } from '../config/config.module.js';
import type { Config } from '../config/env.js';
import { OUTBOUND_OPTIONS, OutboundHttpClient } from './outbound-http.client.js';

/** Workers have drained by the time of this hook; requests that are still open have no caller. */
const SHUTDOWN_GRACE_MS = 1_000;

/**
 * Provides the one HTTP client that may connect to addresses chosen by users. Depends on the
 * configuration only, and not on webhooks, events or deliveries.
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

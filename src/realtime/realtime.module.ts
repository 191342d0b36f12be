import { type DynamicModule, Module } from '@nestjs/common';
import { AuthModule } from '../auth/auth.module.js';
import type { Config } from '../config/env.js';
import { CredentialWatch } from './credential-watch.service.js';
import { EventFanout } from './event-fanout.service.js';
import { NoRealtimeBus, RealtimeBus, RedisRealtimeBus } from './realtime-bus.client.js';
import { RealtimeGateway } from './realtime.gateway.js';
import { RealtimePublisher } from './realtime.publisher.js';

/**
 * Live sockets. Every process can speak to them, through {@link RealtimePublisher}; one with the
 * role `realtime` also takes connections, and its application needs `RealtimeAdapter`, which keeps
 * out whoever has no good credential before a connection exists.
 */
@Module({})
export class RealtimeModule {
  static forRoot({ roles, redisUrl }: Config): DynamicModule {
    const takesConnections = roles.has('realtime');
    return {
      module: RealtimeModule,
      global: true,
      imports: takesConnections ? [AuthModule] : [],
      providers: [
        EventFanout,
        RealtimePublisher,
        {
          provide: RealtimeBus,
          useFactory: () =>
            redisUrl === undefined ? new NoRealtimeBus() : new RedisRealtimeBus(redisUrl),
        },
        ...(takesConnections ? [CredentialWatch, RealtimeGateway] : []),
      ],
      exports: [RealtimePublisher],
    };
  }
}

import { type DynamicModule, Module } from '@nestjs/common';
import { AuthModule } from '../auth/auth.module.js';
import type { Config } from '../config/env.js';
import { NoRealtimeBus, RealtimeBus, RedisRealtimeBus } from './bus/realtime-bus.client.js';
import { Connections } from './connections.service.js';
import { CredentialWatch } from './credential-watch.service.js';
import { EventFanout } from './event-fanout.service.js';
import { EventReplay } from './event-replay.js';
import { EventStreamController } from './event-stream/event-stream.controller.js';
import { EventStreams } from './event-stream/event-streams.service.js';
import { EventHistoryStore } from './history/event-history.store.js';
import { HistoryReplay } from './history/history-replay.service.js';
import { LogTail } from './history/log-tail.service.js';
import { Handshakes } from './handshakes.service.js';
import { PlainWebSocketMessages } from './plain-websocket/plain-websocket-messages.service.js';
import { PlainWebSocketServer } from './plain-websocket/plain-websocket.server.js';
import { TextBroadcast } from './plain-websocket/text-broadcast.service.js';
import { RealtimePublisher } from './realtime.publisher.js';
import { Requests } from './requests.service.js';
import { SlowConsumerWatch } from './slow-consumer-watch.service.js';
import { SocketIoGateway } from './socket-io/socket-io.gateway.js';
import { Subscriptions } from './subscriptions.service.js';

/** Who is connected, what they may ask for, and when they have to go. */
const CORE = [Handshakes, Connections, Requests, CredentialWatch, SlowConsumerWatch];

/** They carry, and decide nothing. */
const TRANSPORTS = [
  SocketIoGateway,
  PlainWebSocketServer,
  PlainWebSocketMessages,
  TextBroadcast,
  EventStreams,
];

/**
 * Live connections: one core of subscriptions, three transports. Every process can speak to them,
 * through {@link RealtimePublisher}; one with the role `realtime` also takes connections, and its
 * application needs `RealtimeAdapter` for those of Socket.IO.
 */
@Module({})
export class RealtimeModule {
  static forRoot({ roles, redisUrl }: Config): DynamicModule {
    const takesConnections = roles.has('realtime');
    return {
      module: RealtimeModule,
      global: true,
      imports: takesConnections ? [AuthModule] : [],
      controllers: takesConnections ? [EventStreamController] : [],
      providers: [
        Subscriptions,
        EventFanout,
        RealtimePublisher,
        {
          provide: RealtimeBus,
          useFactory: () =>
            redisUrl === undefined ? new NoRealtimeBus() : new RedisRealtimeBus(redisUrl),
        },
        ...(takesConnections
          ? [
              ...CORE,
              ...TRANSPORTS,
              EventHistoryStore,
              { provide: EventReplay, useClass: HistoryReplay },
            ]
          : []),
        // Only where events can come from elsewhere, and get lost on the way.
        ...(takesConnections && redisUrl !== undefined ? [LogTail] : []),
      ],
      exports: [RealtimePublisher],
    };
  }
}

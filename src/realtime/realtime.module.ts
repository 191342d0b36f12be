import { type DynamicModule, Module } from '@nestjs/common';
import { AuthModule } from '../auth/auth.module.js';
import type { Config } from '../config/env.js';
import { EventTypesModule } from '../event-types/event-types.module.js';
import { SystemEventsModule } from '../system-events/system-events.module.js';
import { AdminRealtimeController } from './admin/admin-realtime.controller.js';
import { AdminRealtime } from './admin/admin-realtime.service.js';
import { CLOSE_CONNECTION, ConnectionClosing } from './admin/connection-closing.service.js';
import { Connections } from './connections/connections.service.js';
import { CredentialWatch } from './connections/credential-watch.service.js';
import { FanoutService } from './fanout/fanout.service.js';
import { EventStreamController } from './transports/sse/event-stream.controller.js';
import { EventStreams } from './transports/sse/event-streams.service.js';
import { LogReaderStore } from './resume/log-reader.store.js';
import { ReplayService } from './resume/replay.service.js';
import { SharedLogReader } from './resume/shared-log-reader.service.js';
import { GapFiller } from './resume/gap-filler.service.js';
import { AdmissionService } from './connections/admission.service.js';
import { BroadcastStats } from './lifecycle/broadcast-stats.service.js';
import { ConnectionRegister } from './lifecycle/connection-register.service.js';
import { ConnectionRegisterStore } from './lifecycle/connection-register.store.js';
import { LostConnections } from './lifecycle/lost-connections.service.js';
import { RealtimeCounters } from './lifecycle/realtime-counters.service.js';
import { ServerStatus } from './lifecycle/server-status.service.js';
import { MessageDelivery } from './messages/message-delivery.service.js';
import { MessageNotifier } from './messages/message-signals.service.js';
import { MESSAGE_NOTE } from './messages/message-note.js';
import { Messages } from './messages/messages.service.js';
import { PostedMessage } from './messages/posted-message.js';
import { ClusterRpc, RPC_HANDLERS, type RpcHandlers } from '../cluster/cluster-rpc.service.js';
import { PlainWebSocketMessages } from './transports/websocket/plain-websocket-messages.service.js';
import { PlainWebSocketServer } from './transports/websocket/plain-websocket.server.js';
import { LocalPresence } from './presence/local-presence.service.js';
import { GET_MEMBERS, WATCH_MEMBERS } from './presence/presence-messages.js';
import { PresenceWatches } from './presence/presence-watches.service.js';
import { Presence } from './presence/presence.service.js';
import { RealtimePublisher } from './realtime.publisher.js';
import { Requests } from './subscriptions/requests.service.js';
import { SlowConsumerWatch } from './connections/slow-consumer-watch.service.js';
import { SocketIoGateway } from './transports/socket-io/socket-io.gateway.js';
import { Subscriptions } from './subscriptions/subscriptions.service.js';

/** Who is connected, what they may ask for, and when they have to go. */
const CORE = [AdmissionService, Connections, Requests, CredentialWatch, SlowConsumerWatch];

/** What clients say to each other, and know of each other. */
const CONVERSATION = [Messages, MessageDelivery, Presence, LocalPresence, PresenceWatches];

/** What is known about connections when they, or this process, are gone. */
const LIFECYCLE = [
  ConnectionRegister,
  LostConnections,
  RealtimeCounters,
  BroadcastStats,
  ConnectionClosing,
];

/** What a process of each role needs to speak with those that have connections. */
const SHARED = [ClusterRpc, MessageNotifier, ConnectionRegisterStore];

/** What a node with connections responds to the requests of other nodes. */
const RPC = {
  provide: RPC_HANDLERS,
  inject: [LocalPresence, ConnectionClosing, MessageDelivery],
  useFactory: (
    presence: LocalPresence,
    closing: ConnectionClosing,
    delivery: MessageDelivery,
  ): RpcHandlers => ({
    [GET_MEMBERS]: (payload) => presence.members(payload),
    [WATCH_MEMBERS]: (payload) => presence.watch(payload),
    [CLOSE_CONNECTION]: (payload) => closing.close(payload),
    [MESSAGE_NOTE]: (payload) => delivery.deliver(PostedMessage.parse(payload)),
  }),
};

/** They carry, and decide nothing. */
const TRANSPORTS = [SocketIoGateway, PlainWebSocketServer, PlainWebSocketMessages, EventStreams];

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
      imports: [EventTypesModule, SystemEventsModule, ...(takesConnections ? [AuthModule] : [])],
      controllers: [
        ...(takesConnections ? [EventStreamController] : []),
        ...(roles.has('api') ? [AdminRealtimeController] : []),
      ],
      providers: [
        Subscriptions,
        FanoutService,
        RealtimePublisher,
        ServerStatus,
        ...(takesConnections
          ? [
              ...CORE,
              ...TRANSPORTS,
              ...CONVERSATION,
              ...LIFECYCLE,
              LogReaderStore,
              SharedLogReader,
              RPC,
              ReplayService,
            ]
          : [{ provide: RPC_HANDLERS, useValue: {} }]),
        ...(takesConnections || roles.has('api') ? SHARED : []),
        ...(roles.has('api') ? [AdminRealtime] : []),
        // Only where events can come from elsewhere, and get lost on the way.
        ...(takesConnections && redisUrl !== undefined ? [GapFiller] : []),
      ],
      exports: [RealtimePublisher],
    };
  }
}

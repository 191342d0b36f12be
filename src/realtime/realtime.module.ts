import { type DynamicModule, Module } from '@nestjs/common';
import { AuthModule } from '../auth/auth.module.js';
import type { Config } from '../config/env.js';
import { EventTypesModule } from '../event-types/event-types.module.js';
import { SystemEventsModule } from '../system-events/system-events.module.js';
import { AdminRealtimeController } from './admin/admin-realtime.controller.js';
import { AdminRealtime } from './admin/admin-realtime.service.js';
import { CLOSE_CONNECTION, Connections } from './connections/connections.service.js';
import { ClientIds } from './connections/client-ids.service.js';
import { CLIENT_ID_HOLDERS, TAKE_OVER_CLIENT_ID } from './connections/client-id-messages.js';
import { LocalClientIds } from './connections/local-client-ids.service.js';
import { ConnectionEvents } from './connections/connection-events.js';
import { CredentialWatch, SlowConsumerWatch } from './connections/watchdogs.service.js';
import { FanoutService } from './fanout/fanout.service.js';
import { RoomIndex } from './fanout/room-index.js';
import { EventStreamController } from './transports/sse/event-stream.controller.js';
import { EventStreams } from './transports/sse/event-streams.service.js';
import { LogClock } from './resume/log-clock.service.js';
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
import { RealtimeTotalsStore } from './lifecycle/realtime-totals.store.js';
import { ServerStatus } from './lifecycle/server-status.service.js';
import { MessageDelivery } from './messages/message-delivery.service.js';
import { MessageNotifier } from './messages/message-notifier.service.js';
import { Messages } from './messages/messages.service.js';
import { CLIENT_MESSAGE, PostedMessage } from './messages/posted-message.js';
import { ClusterRpc, RPC_HANDLERS, type RpcHandlers } from '../cluster/cluster-rpc.service.js';
import { PlainWebSocketMessages } from './transports/websocket/plain-websocket-messages.service.js';
import { PlainWebSocketServer } from './transports/websocket/plain-websocket.server.js';
import { LocalPresence } from './presence/local-presence.service.js';
import { GET_MEMBERS, WATCH_MEMBERS } from './presence/presence-messages.js';
import { PresenceWatches } from './presence/presence-watches.service.js';
import { Presence } from './presence/presence.service.js';
import { RealtimePublisher } from './realtime.publisher.js';
import { Requests } from './transports/requests.service.js';
import { SocketIoGateway } from './transports/socket-io/socket-io.gateway.js';
import { Subscriptions } from './subscriptions/subscriptions.service.js';

/** Connections, from admission to their end. */
const CORE = [
  AdmissionService,
  ClientIds,
  Connections,
  CredentialWatch,
  LocalClientIds,
  SlowConsumerWatch,
];

/** Messages of clients to each other, and presence. */
const CONVERSATION = [Messages, MessageDelivery, Presence, LocalPresence, PresenceWatches];

/** Records of connections that outlive them, and this node. */
const LIFECYCLE = [ConnectionRegister, LostConnections, RealtimeCounters, BroadcastStats];

/** What a node of any role needs to reach the nodes that have connections. */
const SHARED = [ClusterRpc, MessageNotifier, ConnectionRegisterStore];

/** What a node with connections responds to the requests of other nodes. */
const RPC = {
  provide: RPC_HANDLERS,
  inject: [LocalPresence, Connections, MessageDelivery, LocalClientIds],
  useFactory: (
    presence: LocalPresence,
    connections: Connections,
    delivery: MessageDelivery,
    clientIds: LocalClientIds,
  ): RpcHandlers => ({
    [GET_MEMBERS]: (payload) => presence.members(payload),
    [WATCH_MEMBERS]: (payload) => presence.watch(payload),
    [CLOSE_CONNECTION]: (payload) => connections.closeByOperator(payload),
    [CLIENT_ID_HOLDERS]: (payload) => clientIds.holders(payload),
    [TAKE_OVER_CLIENT_ID]: (payload) => clientIds.takeOver(payload),
    [CLIENT_MESSAGE]: (payload) => delivery.deliver(PostedMessage.parse(payload)),
  }),
};

/** The ways in which clients connect, and what all of them use. */
const TRANSPORT_SERVICES = [
  Requests,
  SocketIoGateway,
  PlainWebSocketServer,
  PlainWebSocketMessages,
  EventStreams,
];

/**
 * Live connections: three transports over one core of subscriptions. Every node can publish to them
 * through {@link RealtimePublisher}. A node with the role `realtime` accepts connections, and its
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
        ConnectionEvents,
        RoomIndex,
        Subscriptions,
        FanoutService,
        RealtimePublisher,
        RealtimeTotalsStore,
        ServerStatus,
        ...(takesConnections
          ? [
              ...CORE,
              ...TRANSPORT_SERVICES,
              ...CONVERSATION,
              ...LIFECYCLE,
              LogReaderStore,
              LogClock,
              SharedLogReader,
              RPC,
              ReplayService,
            ]
          : [{ provide: RPC_HANDLERS, useValue: {} }]),
        ...(takesConnections || roles.has('api') ? SHARED : []),
        ...(roles.has('api') ? [AdminRealtime] : []),
        // Only if events come from other nodes, and can get lost on the way.
        ...(takesConnections && redisUrl !== undefined ? [GapFiller] : []),
      ],
      exports: [RealtimePublisher],
    };
  }
}

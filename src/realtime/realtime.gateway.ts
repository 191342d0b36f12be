import { setTimeout as delay } from 'node:timers/promises';
import { type OnApplicationBootstrap, type OnModuleDestroy, UseFilters } from '@nestjs/common';
import {
  ConnectedSocket,
  MessageBody,
  type OnGatewayConnection,
  type OnGatewayDisconnect,
  type OnGatewayInit,
  SubscribeMessage,
  WebSocketGateway,
} from '@nestjs/websockets';
import { CredentialWatch } from './credential-watch.service.js';
import { EventFanout } from './event-fanout.service.js';
import { RealtimeBus } from './realtime-bus.client.js';
import {
  type Answer,
  type ClientToServer,
  HEARTBEAT_MS,
  MAX_PAYLOAD_BYTES,
  MAX_TOPICS,
  type Subscribed,
  topicKey,
  written,
} from './realtime-events.js';
import type { RealtimeServer, RealtimeSocket } from './realtime-socket.js';
import { RefusalFilter } from './refusal.filter.js';
import { roomsOfTopic } from './rooms.js';
import { checkPing, requestedTopics, topicsToAdd } from './subscription-request.js';

/** Clients of a server that stops come back over this time, not all at once. */
const RECONNECT_WINDOW_MS = 5_000;
/** For the last packets to be written. */
const FLUSH_MS = 500;

/**
 * What connected clients ask for. Whoever gets here was authenticated at the handshake; who hears
 * what, `rooms.ts` decides.
 */
@WebSocketGateway()
@UseFilters(RefusalFilter)
export class RealtimeGateway
  implements
    OnGatewayInit,
    OnGatewayConnection,
    OnGatewayDisconnect,
    OnApplicationBootstrap,
    OnModuleDestroy
{
  private server: RealtimeServer | undefined;
  private isDraining = false;

  constructor(
    private readonly fanout: EventFanout,
    private readonly bus: RealtimeBus,
    private readonly credentials: CredentialWatch,
  ) {}

  afterInit(server: RealtimeServer): void {
    this.server = server;
    this.fanout.attach(server);
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.bus.listen((events) => this.fanout.deliver(events));
  }

  handleConnection(socket: RealtimeSocket): void {
    const { connectionId, principal } = socket.data;
    socket.emit('connected', {
      connectionId,
      userId: principal.ownerId,
      serverTime: new Date().toISOString(),
      heartbeatMs: HEARTBEAT_MS,
      limits: { topics: MAX_TOPICS, maxPayloadBytes: MAX_PAYLOAD_BYTES },
    });
    this.credentials.watch(socket);
    if (this.isDraining) sendAway(socket);
  }

  handleDisconnect(socket: RealtimeSocket): void {
    this.credentials.forget(socket);
  }

  @SubscribeMessage('subscribe' satisfies keyof ClientToServer)
  subscribe(
    @ConnectedSocket() socket: RealtimeSocket,
    @MessageBody() payload: unknown,
  ): Answer<Subscribed> {
    const { principal, topics } = socket.data;
    const added = topicsToAdd(topics, requestedTopics(payload), principal);
    for (const topic of added) topics.set(topicKey(topic), topic);
    void socket.join(added.flatMap((topic) => roomsOfTopic(principal, topic)));
    return subscribed(socket);
  }

  @SubscribeMessage('unsubscribe' satisfies keyof ClientToServer)
  unsubscribe(
    @ConnectedSocket() socket: RealtimeSocket,
    @MessageBody() payload: unknown,
  ): Answer<Subscribed> {
    const { principal, topics } = socket.data;
    for (const topic of requestedTopics(payload)) {
      if (!topics.delete(topicKey(topic))) continue;
      for (const room of roomsOfTopic(principal, topic)) void socket.leave(room);
    }
    return subscribed(socket);
  }

  @SubscribeMessage('ping' satisfies keyof ClientToServer)
  ping(@ConnectedSocket() socket: RealtimeSocket, @MessageBody() payload: unknown): Answer {
    checkPing(payload);
    socket.emit('pong', { serverTime: new Date().toISOString() });
    return { ok: true };
  }

  /** Before the HTTP server closes: tells the clients when to come back, and lets them go. */
  async onModuleDestroy(): Promise<void> {
    this.isDraining = true;
    const gone = [...(this.server?.sockets.sockets.values() ?? [])].map(
      (socket) =>
        new Promise((resolve) => {
          socket.conn.once('close', resolve);
          sendAway(socket);
        }),
    );
    await Promise.race([Promise.all(gone), delay(FLUSH_MS, undefined, { ref: false })]);
  }
}

/** Closing the transport, and nothing more, is what makes Socket.IO's client come back by itself. */
function sendAway(socket: RealtimeSocket): void {
  socket.emit('draining', { reconnectInMs: Math.floor(Math.random() * RECONNECT_WINDOW_MS) });
  socket.conn.close();
}

const subscribed = ({ data }: RealtimeSocket): Answer<Subscribed> => ({
  ok: true,
  topics: [...data.topics.values()].map(written),
});

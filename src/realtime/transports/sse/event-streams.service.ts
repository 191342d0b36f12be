import type { IncomingMessage, ServerResponse } from 'node:http';
import { Inject, Injectable, Logger } from '@nestjs/common';
import type { Principal } from '../../../auth/principal.js';
import { CONFIG } from '../../../config/config.module.js';
import type { Config } from '../../../config/env.js';
import { isId } from '../../../shared/ids.js';
import { logFailure } from '../../../shared/log-failure.js';
import { AdmissionService } from '../../connections/admission.service.js';
import { clientIdentity } from '../../connections/client-identity.js';
import { ClientIds } from '../../connections/client-ids.service.js';
import { connectionOptions } from '../../connections/connection-options.js';
import { Connections } from '../../connections/connections.service.js';
import { Heartbeats } from '../../connections/heartbeats.timer.js';
import type { Admission } from '../../connections/realtime.connection.js';
import type { Recovery } from '../../protocol.js';
import { isPosition } from '../../resume/log-position.js';
import { ReplayBuffer } from '../../resume/replay-buffer.js';
import {
  type LastRequest,
  ReplayService,
  type ReplayRequest,
} from '../../resume/replay.service.js';
import { Subscriptions } from '../../subscriptions/subscriptions.service.js';
import type { Topic } from '../../topic.js';
import { eventStreamCredentials } from '../credentials.js';
import {
  EVENT_STREAM_HEADERS,
  EventStreamConnection,
  REPLACED_ID,
} from './event-stream.connection.js';
import type { EventStreamQuery } from './event-stream.dto.js';

/** Begins the response. */
type Start = (response: ServerResponse) => unknown;

interface StreamRequest {
  query: EventStreamQuery;
  principal: Principal;
  request: IncomingMessage;
}

interface StreamStart {
  topics: Topic[];
  after: string | undefined;
  /** The newest events of each topic that come first. */
  last: number | undefined;
}

/** Server-sent events: live connections over plain HTTP. */
@Injectable()
export class EventStreams {
  private readonly logger = new Logger(EventStreams.name);
  private readonly heartbeatMs: number;
  private readonly heartbeats: Heartbeats<EventStreamConnection>;

  constructor(
    @Inject(CONFIG) { realtime }: Config,
    private readonly admissionService: AdmissionService,
    private readonly clientIds: ClientIds,
    private readonly connections: Connections,
    private readonly subscriptions: Subscriptions,
    private readonly replay: ReplayService,
  ) {
    // Clients do not answer heartbeats here. At half the interval they notice a dead connection as soon.
    this.heartbeatMs = realtime.heartbeatMs / 2;
    this.heartbeats = new Heartbeats(this.heartbeatMs, (connection) => connection.heartbeat());
  }

  /**
   * Refuses what can be refused before the response has begun.
   *
   * @returns starts the stream
   * @throws AppError `forbidden`, `too_many_connections`, `client_id_in_use`, UnavailableError
   */
  async prepare({ query, principal, request }: StreamRequest): Promise<Start> {
    const { headers, method } = request;
    // `EventSource` comes back by itself, whatever the `error` says; only this status ends that.
    if (headers['last-event-id'] === REPLACED_ID)
      return (response) => response.writeHead(204).end();
    const client = clientIdentity(query);
    const options = connectionOptions({ frames: query.frames });
    // The header is newer: a browser that comes back repeats the address unchanged.
    const after = String(headers['last-event-id'] ?? '') || query.lastEventId || query.after;
    const topics = topicsOf(query, principal);
    this.subscriptions.check(principal, topics);
    // Fastify answers HEAD with the route of GET.
    if (method === 'HEAD') return (response) => response.writeHead(200, EVENT_STREAM_HEADERS).end();
    const admitted = this.admissionService.admit(
      principal,
      eventStreamCredentials(request).apiKey,
      this.admissionService.addressOf(request),
    );
    const admission = await this.clientIds.assign(admitted, client).catch((error: unknown) => {
      admitted.release();
      throw error;
    });
    return (response) => {
      const connection = this.connectionOf({ ...admission, options }, response);
      return connection && this.start(connection, { topics, after, last: query.last });
    };
  }

  private connectionOf(
    admission: Admission,
    response: ServerResponse,
  ): EventStreamConnection | undefined {
    response.writeHead(200, EVENT_STREAM_HEADERS).flushHeaders();
    const { socket } = response;
    if (socket) return new EventStreamConnection(admission, response, socket, this.heartbeatMs);
    // The client has gone, or waits for the answer to an earlier request on the same connection.
    admission.release();
    response.destroy();
    return undefined;
  }

  private async start(
    connection: EventStreamConnection,
    { topics, after, last: count }: StreamStart,
  ): Promise<void> {
    this.heartbeats.add(connection);
    connection.whenEnded(() => this.heartbeats.delete(connection));
    const join = () => this.subscriptions.add(connection, topics);
    const last = topics.map((topic) => ({ topic, last: count }));
    if (after === undefined) {
      if (count === undefined) return this.begin(connection, join);
      return this.beginWith({ connection, join, last });
    }
    // Without a position: the client would resume there if it were cut off before it has all events.
    this.connections.open(connection);
    try {
      connection.notify('resumed', await this.resume({ connection, topics, after, join, last }));
    } catch (error) {
      const fields = { connectionId: connection.id };
      logFailure(this.logger, 'warn', 'an event stream cannot be resumed', error, fields);
      // It has no topics, and would wait for ever. A client whose stream ends connects again.
      connection.close('history_unavailable');
    }
  }

  /** The position in `connected` is one after which the client is sent everything. */
  private async begin(connection: EventStreamConnection, join: () => void): Promise<void> {
    const buffer = new ReplayBuffer();
    connection.gate = buffer;
    const position = await this.replay.begin(join);
    if (!connection.isOpen) return;
    this.connections.open(connection, position === undefined ? {} : { position });
    connection.catchUp();
    connection.gate = undefined;
    for (const frame of buffer.open()) connection.send(frame);
  }

  /** The position in `connected` is from before the newest events: from there the client misses none. */
  private async beginWith(
    request: LastRequest & { connection: EventStreamConnection },
  ): Promise<void> {
    const { connection } = request;
    const position = await this.replay.begin(() => undefined);
    if (!connection.isOpen) return;
    this.connections.open(connection, position === undefined ? {} : { position });
    try {
      await this.replay.last(request);
    } catch (error) {
      // The connection is being closed, and the client connects again.
      const fields = { connectionId: connection.id };
      logFailure(this.logger, 'warn', 'the newest events cannot be sent', error, fields);
    }
  }

  /** A text that is no event id cannot be resumed after: the client learns that it missed events. */
  private async resume(request: ReplayRequest): Promise<Recovery> {
    const { after } = request;
    if (isId('evt', after) || isPosition(after)) return this.replay.replay(request);
    if (request.last?.some(({ last }) => last !== undefined)) {
      return { recovered: false, ...(await this.replay.last({ ...request, last: request.last })) };
    }
    const position = await this.replay.begin(request.join);
    return { recovered: false, replayed: 0, ...(position !== undefined && { position }) };
  }
}

/** Without `types` and `channels`: everything that the credential allows. */
function topicsOf({ types, channels, subject }: EventStreamQuery, principal: Principal): Topic[] {
  const about = subject === undefined ? {} : { subject };
  const all = channels === undefined ? (principal.topics ?? ['*']) : [];
  return [
    ...(types ?? all).map((type) => ({ type, ...about })),
    ...(channels ?? []).map((channel) => ({ channel, ...about })),
  ];
}

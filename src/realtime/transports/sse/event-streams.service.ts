import type { IncomingMessage, ServerResponse } from 'node:http';
import { Inject, Injectable, Logger } from '@nestjs/common';
import type { Principal } from '../../../auth/principal.js';
import { CONFIG } from '../../../config/config.module.js';
import type { Config } from '../../../config/env.js';
import { isId } from '../../../shared/ids.js';
import { logFailure } from '../../../shared/log-failure.js';
import { AdmissionService } from '../../connections/admission.service.js';
import { Connections } from '../../connections/connections.service.js';
import { Heartbeats } from '../../connections/heartbeats.timer.js';
import type { Admission } from '../../connections/realtime.connection.js';
import type { Recovery } from '../../protocol.js';
import { ReplayService, type ReplayRequest } from '../../resume/replay.service.js';
import { Subscriptions, topicsToAdd } from '../../subscriptions/subscriptions.service.js';
import type { Topic } from '../../topic.js';
import { eventStreamCredentials } from '../credentials.js';
import { EventStreamConnection } from './event-stream.connection.js';
import type { EventStreamQuery } from './event-stream.dto.js';

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // A proxy that buffers responses would buffer this one for ever.
  'x-accel-buffering': 'no',
  connection: 'close',
};

interface StreamRequest {
  query: EventStreamQuery;
  principal: Principal;
  request: IncomingMessage;
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
   * @throws AppError `forbidden`, `too_many_connections`, UnavailableError
   */
  prepare({ query, principal, request }: StreamRequest): (response: ServerResponse) => unknown {
    const { headers, method, socket } = request;
    // The header is newer: a browser that comes back repeats the address unchanged.
    const after = String(headers['last-event-id'] ?? '') || query.lastEventId || query.after;
    const topics = topicsOf(query, principal);
    topicsToAdd(new Map(), topics, principal);
    // Fastify answers HEAD with the route of GET.
    if (method === 'HEAD') return (response) => response.writeHead(200, HEADERS).end();
    const admission = this.admissionService.admit(
      principal,
      eventStreamCredentials(request).apiKey,
      socket.remoteAddress,
    );
    return (response) => {
      const connection = this.connectionOf(admission, response);
      return connection && this.start(connection, topics, after);
    };
  }

  private connectionOf(
    admission: Admission,
    response: ServerResponse,
  ): EventStreamConnection | undefined {
    response.useChunkedEncodingByDefault = false;
    response.writeHead(200, HEADERS).flushHeaders();
    const { socket } = response;
    if (socket) return new EventStreamConnection(admission, response, socket, this.heartbeatMs);
    // The client has gone, or waits for the answer to an earlier request on the same connection.
    admission.release();
    response.destroy();
    return undefined;
  }

  private async start(
    connection: EventStreamConnection,
    topics: Topic[],
    after: string | undefined,
  ): Promise<void> {
    this.heartbeats.add(connection);
    connection.whenEnded(() => this.heartbeats.delete(connection));
    this.connections.open(connection);
    const join = () => this.subscriptions.add(connection, topics);
    if (after === undefined) return join();
    try {
      connection.notify('resumed', await this.resume({ connection, topics, after, join }));
    } catch (error) {
      const fields = { connectionId: connection.id };
      logFailure(this.logger, 'warn', 'an event stream cannot be resumed', error, fields);
      // It has no topics, and would wait for ever. A client whose stream ends connects again.
      connection.close('history_unavailable');
    }
  }

  /** A text that is no event id cannot be resumed after: the client learns that it missed events. */
  private async resume(request: ReplayRequest): Promise<Recovery> {
    if (isId('evt', request.after)) return this.replay.replay(request);
    request.join();
    return { recovered: false, replayed: 0 };
  }
}

/** Without `types`: everything that the credential allows. */
function topicsOf({ types, subject }: EventStreamQuery, principal: Principal): Topic[] {
  return (types ?? principal.topics ?? ['*']).map((type) =>
    subject === undefined ? { type } : { type, subject },
  );
}

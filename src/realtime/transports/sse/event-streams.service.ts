import type { IncomingMessage, ServerResponse } from 'node:http';
import { Inject, Injectable, Logger } from '@nestjs/common';
import { isAdmin, type Principal } from '../../../auth/principal.js';
import { isId } from '../../../shared/ids.js';
import { CONFIG } from '../../../config/config.module.js';
import type { Config } from '../../../config/env.js';
import { Connections } from '../../connections/connections.service.js';
import { ReplayService } from '../../resume/replay.service.js';
import { AdmissionService } from '../../connections/admission.service.js';
import { Heartbeats } from '../../connections/heartbeats.timer.js';
import type { Admission } from '../../connections/realtime.connection.js';
import { topicsToAdd } from '../../subscriptions/subscription-request.js';
import { Subscriptions } from '../../subscriptions/subscriptions.service.js';
import type { Topic } from '../../subscriptions/topic.js';
import { eventStreamCredentials } from './event-stream-credentials.js';
import { EventStreamConnection } from './event-stream.connection.js';
import type { EventStreamQuery } from './event-stream.dto.js';

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store',
  // Proxies that collect answers before they pass them on would collect for ever.
  'x-accel-buffering': 'no',
  connection: 'close',
};

interface StreamRequest {
  query: EventStreamQuery;
  principal: Principal;
  request: IncomingMessage;
}

/** Lets clients listen with nothing but HTTP. */
@Injectable()
export class EventStreams {
  private readonly logger = new Logger(EventStreams.name);
  private readonly heartbeatMs: number;
  private readonly heartbeats: Heartbeats<EventStreamConnection>;

  constructor(
    @Inject(CONFIG) { realtime }: Config,
    private readonly handshakes: AdmissionService,
    private readonly connections: Connections,
    private readonly subscriptions: Subscriptions,
    private readonly replay: ReplayService,
  ) {
    // Nothing is answered, so half the time does for what two beats do elsewhere.
    this.heartbeatMs = realtime.heartbeatMs / 2;
    this.heartbeats = new Heartbeats(this.heartbeatMs, (connection) => connection.heartbeat());
  }

  /**
   * Checks what can be refused while there is an answer to refuse it with.
   *
   * @returns starts the stream
   * @throws AppError `forbidden`, `too_many_connections`, UnavailableError
   */
  prepare({ query, principal, request }: StreamRequest): (response: ServerResponse) => unknown {
    const { headers, method, socket } = request;
    // The header is the later word: a browser that comes back repeats the address as it was.
    const after = String(headers['last-event-id'] ?? '') || query.lastEventId || query.after;
    const topics = topicsOf(query, principal);
    topicsToAdd(new Map(), topics, principal);
    // Fastify answers HEAD with the route of GET.
    if (method === 'HEAD') return (response) => response.writeHead(200, HEADERS).end();
    const admission = this.handshakes.admit(
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
    admission.leave();
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
      connection.say('resumed', await this.resume(connection, { topics, after, join }));
    } catch (error) {
      this.logger.warn(`a stream cannot be resumed: ${String(error)}`);
      // It hears nothing, and would never find out; one that ends is opened again.
      connection.close('history_unavailable');
    }
  }

  /** An id that is none names nothing that we have: the client is told that it has missed events. */
  private async resume(
    connection: EventStreamConnection,
    request: { topics: Topic[]; after: string; join(): void },
  ) {
    if (isId('evt', request.after)) return this.replay.replay({ connection, ...request });
    request.join();
    return { recovered: false, replayed: 0 };
  }
}

/** Without `types`: all that the credential may hear. */
function topicsOf({ types, subject }: EventStreamQuery, principal: Principal): Topic[] {
  const all = isAdmin(principal) ? undefined : principal.topics;
  return (types ?? all ?? ['*']).map((type) =>
    subject === undefined ? { type } : { type, subject },
  );
}

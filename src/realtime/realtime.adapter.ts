import type { IncomingMessage, Server as HttpServer } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { INestApplication, WsMessageHandler } from '@nestjs/common';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { lastValueFrom, type Observable } from 'rxjs';
import { Server, type ServerOptions } from 'socket.io';
import { Authenticator } from '../auth/authenticator.service.js';
import { handshakeMiddleware } from './handshake.middleware.js';
import { HEARTBEAT_MS, MAX_PAYLOAD_BYTES, PING_TIMEOUT_MS } from './realtime-events.js';
import type { RealtimeServer, RealtimeSocket } from './realtime-socket.js';
import { type Acknowledge, refuse } from './refusal.filter.js';

const OPTIONS: Partial<ServerOptions> = {
  transports: ['websocket', 'polling'],
  serveClient: false,
  pingInterval: HEARTBEAT_MS,
  pingTimeout: PING_TIMEOUT_MS,
  /** For a connection that has not presented a credential. */
  connectTimeout: 10_000,
  maxHttpBufferSize: MAX_PAYLOAD_BYTES,
  // Costs several times what it saves, in processor time and memory per connection.
  perMessageDeflate: false,
  // Its recovered connections skip authentication: revoked and expired clients would come back.
  connectionStateRecovery: undefined,
};

/** For clients to answer our closing frame; one that hangs would hold up the shutdown for 30 s. */
const CLOSING_MS = 200;

/**
 * Socket.IO on the port of the application. Authenticates before a connection exists, hands the
 * messages to the gateway, answers those that no gateway knows, and closes without waiting for
 * anybody: `app.useWebSocketAdapter(new RealtimeAdapter(app))`.
 */
export class RealtimeAdapter extends IoAdapter {
  private readonly upgraded = new Set<Duplex>();
  private isClosing = false;

  constructor(private readonly app: INestApplication) {
    super(app);
  }

  override createIOServer(): RealtimeServer {
    const httpServer = this.httpServer as HttpServer;
    const server: RealtimeServer = new Server(httpServer, {
      ...OPTIONS,
      allowRequest: (_request, answer) => answer(null, !this.isClosing),
    });
    server.use(handshakeMiddleware(this.app.get(Authenticator, { strict: false })));
    httpServer.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
      if (!request.url?.startsWith(`${server.path()}/`)) return;
      this.upgraded.add(socket);
      socket.once('close', () => this.upgraded.delete(socket));
    });
    return server;
  }

  /** One listener per connection, for names that the gateway knows and for all others. */
  override bindMessageHandlers(
    socket: RealtimeSocket,
    handlers: WsMessageHandler[],
    transform: (result: unknown) => Observable<unknown>,
  ): void {
    const byName = new Map(handlers.map((handler) => [handler.message, handler]));
    socket.onAny((name: unknown, ...args: unknown[]) => {
      const ack = typeof args.at(-1) === 'function' ? (args.pop() as Acknowledge) : undefined;
      const handler = typeof name === 'string' ? byName.get(name) : undefined;
      if (!handler) {
        const message = 'There is no event of this name.';
        return refuse(socket, ack, { code: 'unknown_event', message });
      }
      // Several arguments are none of our frames; they are refused as a whole.
      const payload = args.length > 1 ? args : args[0];
      this.answer(handler, payload, ack, transform).catch((error) => this.logger.error(error));
    });
  }

  /** Leaves the HTTP server to the application, which closes it next. */
  override async close(server: RealtimeServer): Promise<void> {
    this.isClosing = true;
    server.engine.close();
    const closed = [...this.upgraded].map(
      (socket) => new Promise((resolve) => void socket.once('close', resolve)),
    );
    await Promise.race([Promise.all(closed), delay(CLOSING_MS, undefined, { ref: false })]);
    for (const socket of this.upgraded) socket.destroy();
  }

  /** A refusal has been answered by the filter when this gets its nothing. */
  private async answer(
    { callback, isAckHandledManually }: WsMessageHandler,
    payload: unknown,
    ack: Acknowledge | undefined,
    transform: (result: unknown) => Observable<unknown>,
  ): Promise<void> {
    const result = transform(callback(payload, ack));
    const answer = await lastValueFrom(result, { defaultValue: undefined });
    if (answer !== undefined && !isAckHandledManually) ack?.(answer as Parameters<Acknowledge>[0]);
  }
}

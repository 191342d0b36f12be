import type { IncomingMessage, Server as HttpServer } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { INestApplication } from '@nestjs/common';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { Server, type ServerOptions } from 'socket.io';
import { AdmissionService } from '../../connections/admission.service.js';
import { MAX_PAYLOAD_BYTES } from '../../limits.js';
import { handshakeMiddleware } from './handshake.middleware.js';
import {
  HEARTBEAT_MS,
  PING_TIMEOUT_MS,
  type RealtimeServer,
  SOCKET_IO_PATH,
} from './socket-io-types.js';

const OPTIONS: Partial<ServerOptions> = {
  path: SOCKET_IO_PATH,
  transports: ['websocket', 'polling'],
  serveClient: false,
  pingInterval: HEARTBEAT_MS,
  pingTimeout: PING_TIMEOUT_MS,
  // As long as its client waits. A process that was stopped for a shorter time would otherwise end the
  // upgrade when it wakes, before it reads that the client has made it, and Socket.IO's client, which
  // has paused its polling for that, would hear nothing any more until it gives up.
  upgradeTimeout: HEARTBEAT_MS + PING_TIMEOUT_MS,
  /** For a connection that has not presented a credential. */
  connectTimeout: 10_000,
  maxHttpBufferSize: MAX_PAYLOAD_BYTES,
  // Costs several times what it saves, in processor time and memory per connection.
  perMessageDeflate: false,
  // Its recovered connections skip authentication: revoked and expired clients would come back.
  connectionStateRecovery: undefined,
  // Other paths are for PlainWebSocketServer, which may take longer than Engine.IO's second.
  destroyUpgrade: false,
};

/** In milliseconds. */
export type Timing = Partial<
  Pick<ServerOptions, 'pingInterval' | 'pingTimeout' | 'connectTimeout' | 'upgradeTimeout'>
>;

/** For clients to answer our closing frame; one that hangs would hold up the shutdown for 30 s. */
const CLOSING_MS = 200;

/**
 * Socket.IO on the port of the application. Lets nobody in from a foreign page or without a good
 * credential, and closes without waiting for anybody:
 * `app.useWebSocketAdapter(new RealtimeAdapter(app))`.
 */
export class RealtimeAdapter extends IoAdapter {
  private readonly upgraded = new Set<Duplex>();
  private isClosing = false;

  /** @param timing other than the usual one, for clients whose patience is tested */
  constructor(
    private readonly app: INestApplication,
    private readonly timing: Timing = {},
  ) {
    super(app);
  }

  override createIOServer(): RealtimeServer {
    const httpServer = this.httpServer as HttpServer;
    const handshakes = this.app.get(AdmissionService, { strict: false });
    const server: RealtimeServer = new Server(httpServer, {
      ...OPTIONS,
      ...this.timing,
      // Reading the answers of polling takes the permission of CORS; a refused page gets none.
      cors: (request, answer) => {
        answer(null, { origin: handshakes.isAllowed(request.headers) });
      },
      allowRequest: ({ headers }, answer) => {
        if (this.isClosing) return answer('The server is about to stop.', false);
        if (handshakes.isAllowed(headers)) return answer(null, true);
        answer('Pages of this origin may not connect.', false);
      },
    });
    server.use(handshakeMiddleware(handshakes));
    httpServer.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
      if (!request.url?.startsWith(`${SOCKET_IO_PATH}/`)) return;
      this.upgraded.add(socket);
      socket.once('close', () => this.upgraded.delete(socket));
    });
    return server;
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
}

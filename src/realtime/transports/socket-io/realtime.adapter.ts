import type { IncomingMessage, Server as HttpServer } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { type INestApplication, Logger } from '@nestjs/common';
import { IoAdapter } from '@nestjs/platform-socket.io';
import { Server, type ServerOptions } from 'socket.io';
import { AppError, UnavailableError } from '../../../shared/app-error.js';
import { logFailure } from '../../../shared/log-failure.js';
import { AdmissionService } from '../../connections/admission.service.js';
import type { Admission } from '../../connections/realtime.connection.js';
import { passingReason } from '../../close-codes.js';
import { MAX_PAYLOAD_BYTES } from '../../limits.js';
import type { Refusal } from '../../protocol.js';
import { LogClock } from '../../resume/log-clock.service.js';
import { ClientIds } from '../../connections/client-ids.service.js';
import { socketIoCredentials, socketIoOptions } from '../credentials.js';
import { namesChannels, socketIoIdentity } from './socket-io-identity.js';
import {
  HEARTBEAT_MS,
  PING_TIMEOUT_MS,
  type RealtimeServer,
  type RealtimeSocket,
  SOCKET_IO_PATH,
} from './socket-io-types.js';

const OPTIONS: Partial<ServerOptions> = {
  path: SOCKET_IO_PATH,
  transports: ['websocket', 'polling'],
  serveClient: false,
  pingInterval: HEARTBEAT_MS,
  pingTimeout: PING_TIMEOUT_MS,
  // As long as the client waits. With a shorter time, a process that was paused for longer would abort
  // the upgrade before it reads that the client has completed it. Socket.IO's client, which stops
  // polling for the upgrade, would then receive nothing until its own timeout.
  upgradeTimeout: HEARTBEAT_MS + PING_TIMEOUT_MS,
  /** For a client to present a credential. */
  connectTimeout: 10_000,
  maxHttpBufferSize: MAX_PAYLOAD_BYTES,
  // Costs several times what it saves, in CPU time and memory per connection.
  perMessageDeflate: false,
  // Recovered connections skip authentication: clients with revoked credentials would come back.
  connectionStateRecovery: undefined,
  // Other paths belong to PlainWebSocketServer, which may take longer than Engine.IO's second.
  destroyUpgrade: false,
};

/** In milliseconds. */
export type Timing = Partial<
  Pick<ServerOptions, 'pingInterval' | 'pingTimeout' | 'connectTimeout' | 'upgradeTimeout'>
>;

/** For clients to answer our closing frame; without it, one that hangs delays the shutdown for 30 s. */
const CLOSING_MS = 200;

/**
 * Socket.IO on the port of the application: `app.useWebSocketAdapter(new RealtimeAdapter(app))`.
 * Refuses pages of other origins and clients without a valid credential, and does not wait for
 * clients when it closes.
 */
export class RealtimeAdapter extends IoAdapter {
  private readonly upgraded = new Set<Duplex>();

  /** @param timing other than in production, for tests of clients that do not answer */
  constructor(
    private readonly app: INestApplication,
    private readonly timing: Timing = {},
  ) {
    super(app);
  }

  override createIOServer(): RealtimeServer {
    const httpServer = this.httpServer as HttpServer;
    const admission = this.app.get(AdmissionService, { strict: false });
    const clientIds = this.app.get(ClientIds, { strict: false });
    const clock = this.app.get(LogClock, { strict: false });
    const server: RealtimeServer = new Server(httpServer, {
      ...OPTIONS,
      ...this.timing,
      // Reading the answers of polling takes the permission of CORS; a refused page gets none.
      cors: (request, answer) => {
        // Its type names only what the package cors reads.
        const page = request as IncomingMessage;
        answer(null, { origin: admission.refusalOfPage(page) === undefined });
      },
      allowRequest: (request, answer) => {
        const reason =
          admission.refusalOfPage(request)?.detail ??
          reasonToWait(admission, admission.addressOf(request));
        answer(reason, reason === null);
      },
    });
    const handshakes: Handshakes = new WeakMap();
    server.engine.on('connection', (client: EngineSocket) => {
      const end = admission.beginHandshake(admission.addressOf(client.request));
      handshakes.set(client, end);
      client.once('close', end);
    });
    server.use(
      admissionMiddleware((socket) => admit(admission, clientIds, socket), clock, handshakes),
    );
    httpServer.on('upgrade', (request: IncomingMessage, socket: Duplex) => {
      if (!request.url?.startsWith(`${SOCKET_IO_PATH}/`)) return;
      this.upgraded.add(socket);
      socket.once('close', () => this.upgraded.delete(socket));
    });
    return server;
  }

  /** Leaves the HTTP server to the application, which closes it next. */
  override async close(server: RealtimeServer): Promise<void> {
    server.engine.close();
    const closed = [...this.upgraded].map(
      (socket) => new Promise((resolve) => void socket.once('close', resolve)),
    );
    await Promise.race([Promise.all(closed), delay(CLOSING_MS, undefined, { ref: false })]);
    for (const socket of this.upgraded) socket.destroy();
  }
}

type EngineSocket = RealtimeSocket['conn'];
/** Of the clients that have not been authenticated yet: what uncounts them. */
type Handshakes = WeakMap<EngineSocket, () => void>;

/** Refused here, a client waits longer with each try. Null: it may connect. */
function reasonToWait(admission: AdmissionService, address: string): string | null {
  try {
    admission.checkPlace(address);
    return null;
  } catch (error) {
    if (error instanceof AppError) return error.detail;
    throw error;
  }
}

type Next = (refusal?: Error & { data?: Refusal }) => void;

const logger = new Logger('RealtimeHandshake');

/**
 * Authenticates a socket, or refuses it with `connect_error`, whose `data` has the code. Socket.IO's own
 * client does not connect again after that, but does when its transport is closed: so is one that is
 * refused for now. Nest's guards would come too late: they run for each message of sockets that exist.
 */
function admissionMiddleware(
  admitted: (socket: RealtimeSocket) => Promise<Admission>,
  clock: LogClock,
  handshakes: Handshakes,
): (socket: RealtimeSocket, next: Next) => void {
  /** A client may ask to connect again before it is answered; each request would become a socket. */
  const busy = new WeakSet<RealtimeSocket['client']>();

  return (socket, next) => {
    const { client } = socket;
    if (busy.has(client)) return next(refusal(alreadyConnecting()));
    busy.add(client);
    void Promise.all([admitted(socket), clock.now()])
      .then(
        ([admission, position]) => {
          socket.data = {
            admission,
            namesChannels: namesChannels(socket.handshake),
            ...(position !== undefined && { position }),
          };
          handshakes.get(client.conn)?.();
          next();
        },
        (error: unknown) => {
          const refused = error instanceof AppError ? error : unexpected(error);
          // Without a transport, Socket.IO only discards the socket.
          if (passingReason(refused)) client.conn.close();
          next(refusal(refused));
        },
      )
      // By then Socket.IO has registered the socket, and refuses a second one itself.
      .finally(() => setImmediate(() => busy.delete(client)));
  };
}

async function admit(
  service: AdmissionService,
  clientIds: ClientIds,
  socket: RealtimeSocket,
): Promise<Admission> {
  const { conn, request } = socket;
  const client = socketIoIdentity(socket.handshake);
  const credentials = socketIoCredentials(socket.handshake, request);
  const options = socketIoOptions(socket.handshake);
  const admission = await service.authenticate(credentials, service.addressOf(request));
  // Also if the client closes before there is a connection.
  if (conn.readyState === 'open') conn.once('close', () => admission.release());
  else admission.release();
  try {
    return { ...(await clientIds.assign(admission, client)), options };
  } catch (error) {
    admission.release();
    throw error;
  }
}

function refusal({ code, detail }: AppError): Error & { data: Refusal } {
  return Object.assign(new Error(detail), { data: { code, message: detail } });
}

function unexpected(error: unknown): AppError {
  logFailure(logger, 'error', 'a Socket.IO client cannot be admitted', error);
  return new UnavailableError('The client cannot be admitted at the moment.');
}

const alreadyConnecting = (): AppError =>
  new AppError('conflict', 'already_connecting', 'This connection is being authenticated already.');

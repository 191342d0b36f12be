import { Logger } from '@nestjs/common';
import { AppError, UnavailableError } from '../../../shared/app-error.js';
import type { AdmissionService } from '../../connections/admission.service.js';
import type { Refusal } from '../../realtime-events.js';
import { credentialsOf } from './handshake.js';
import type { RealtimeSocket } from './socket-io-types.js';

type Next = (refusal?: Error & { data?: Refusal }) => void;

const logger = new Logger('RealtimeHandshake');

/**
 * Lets a connection come into being, or refuses it with `connect_error`, whose `data` has the code.
 * Nest's guards would be too late: they run per message, on sockets that exist.
 */
export function handshakeMiddleware(
  handshakes: AdmissionService,
): (socket: RealtimeSocket, next: Next) => void {
  /** A client may ask to connect again before it is answered; each would become a socket. */
  const busy = new WeakSet<RealtimeSocket['client']>();

  return (socket, next) => {
    const { client } = socket;
    if (busy.has(client)) return next(refusal(alreadyConnecting()));
    busy.add(client);
    void admit(handshakes, socket)
      .then(
        () => next(),
        (error: unknown) => next(refusal(error)),
      )
      // When Socket.IO knows of the socket, and refuses another one itself.
      .finally(() => setImmediate(() => busy.delete(client)));
  };
}

async function admit(handshakes: AdmissionService, socket: RealtimeSocket): Promise<void> {
  const { conn, request } = socket;
  const credentials = credentialsOf(socket.handshake, request);
  const admission = await handshakes.authenticate(credentials, conn.remoteAddress);
  socket.data = { admission };
  // Also where it never becomes a connection, because the client has gone meanwhile.
  if (conn.readyState === 'open') conn.once('close', () => admission.leave());
  else admission.leave();
}

function refusal(error: unknown): Error & { data: Refusal } {
  const { code, detail } = error instanceof AppError ? error : unavailable(error);
  return Object.assign(new Error(detail), { data: { code, message: detail } });
}

const alreadyConnecting = (): AppError =>
  new AppError('conflict', 'already_connecting', 'This connection is being authenticated already.');

function unavailable(error: unknown): AppError {
  logger.error(error);
  return new UnavailableError('The credential cannot be checked at the moment.');
}

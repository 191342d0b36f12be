import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import { Authenticator } from '../auth/authenticator.service.js';
import { AppError } from '../common/app-error.js';
import { mayReconnect, type Refusal } from './realtime-events.js';
import type { RealtimeSocket } from './realtime-socket.js';

const TICK_MS = 500;

/** With the 5 s that a process may trust what it knows of a key: a revoked one is cut within 10 s. */
const RECHECK_MS = 4_000;

const EXPIRED: Record<'token' | 'apiKey', Refusal> = {
  token: { code: 'token_expired', message: 'The token has expired.' },
  apiKey: { code: 'api_key_expired', message: 'The API key has expired.' },
};

/** Ends connections whose credential has ended while they lasted. */
@Injectable()
export class CredentialWatch implements OnModuleDestroy {
  private readonly logger = new Logger(CredentialWatch.name);
  /** When to ask again, in milliseconds since 1970; never for tokens, whose end is known. */
  private readonly sockets = new Map<RealtimeSocket, number>();
  private timer: NodeJS.Timeout | undefined;
  private isAsking = false;

  constructor(private readonly authenticator: Authenticator) {}

  /** Watches the connection until {@link forget}. */
  watch(socket: RealtimeSocket): void {
    // One timer for all, at a distance that no end in the far future can overflow.
    this.timer ??= setInterval(() => this.tick(), TICK_MS).unref();
    // Connections are spread over the interval by the moments at which they came.
    this.sockets.set(socket, socket.data.apiKey === undefined ? Infinity : Date.now() + RECHECK_MS);
  }

  forget(socket: RealtimeSocket): void {
    this.sockets.delete(socket);
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  private tick(): void {
    const now = Date.now();
    for (const socket of this.sockets.keys()) {
      const { principal, apiKey } = socket.data;
      if (principal.expiresAtMs === undefined || principal.expiresAtMs > now) continue;
      end(socket, apiKey === undefined ? EXPIRED.token : EXPIRED.apiKey);
    }
    if (this.isAsking) return;
    this.isAsking = true;
    void this.askAgain(now).finally(() => (this.isAsking = false));
  }

  /** One after the other: the store has more to do than this. */
  private async askAgain(now: number): Promise<void> {
    for (const [socket, due] of this.sockets) {
      if (due > now) continue;
      const refusal = await this.refusalOf(socket);
      if (refusal) end(socket, refusal);
      else if (this.sockets.has(socket)) this.sockets.set(socket, Date.now() + RECHECK_MS);
    }
  }

  private async refusalOf({ data }: RealtimeSocket): Promise<Refusal | undefined> {
    try {
      await this.authenticator.authenticate({ apiKey: data.apiKey });
      return undefined;
    } catch (error) {
      if (error instanceof AppError && error.kind === 'unauthenticated') {
        return { code: error.code, message: error.detail };
      }
      // A store that does not answer says nothing about the key.
      this.logger.warn(`cannot ask whether an API key is still good: ${String(error)}`);
      return undefined;
    }
  }
}

/**
 * Says why and closes. Socket.IO's client comes back by itself after the transport was closed, and
 * does not after it was told to disconnect.
 */
function end(socket: RealtimeSocket, refusal: Refusal): void {
  const reconnect = mayReconnect(refusal.code);
  socket.emit('error', { ...refusal, reconnect });
  if (reconnect) socket.conn.close();
  else socket.disconnect(true);
}

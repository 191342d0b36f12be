import {
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { Authenticator } from '../../auth/authenticator.service.js';
import { AppError } from '../../shared/app-error.js';
import { Connections } from './connections.service.js';
import type { Connection } from './realtime.connection.js';

const TICK_MS = 500;

/** Asks the cache of the authenticator nearly always, and the store when that trusts it no longer. */
const RECHECK_MS = 1_000;

/** Ends connections whose credential has ended while they lasted. */
@Injectable()
export class CredentialWatch implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(CredentialWatch.name);
  private readonly timers: NodeJS.Timeout[] = [];
  private isAsking = false;

  constructor(
    private readonly authenticator: Authenticator,
    private readonly connections: Connections,
  ) {}

  /** Two timers for all, at distances that no end in the far future can overflow. */
  onApplicationBootstrap(): void {
    this.timers.push(
      setInterval(() => this.endExpired(), TICK_MS).unref(),
      setInterval(() => void this.askAgain(), RECHECK_MS).unref(),
    );
  }

  onModuleDestroy(): void {
    for (const timer of this.timers) clearInterval(timer);
  }

  private endExpired(): void {
    const now = Date.now();
    for (const connection of this.connections.all()) {
      const { expiresAtMs } = connection.principal;
      if (expiresAtMs !== undefined && expiresAtMs <= now) endOf(connection);
    }
  }

  /** One key after the other: the store has more to do than this. */
  private async askAgain(): Promise<void> {
    if (this.isAsking) return;
    this.isAsking = true;
    try {
      for (const [apiKey, connections] of this.byApiKey()) {
        if (await this.isGood(apiKey)) continue;
        for (const connection of connections) {
          // It may have a token since.
          if (connection.apiKey === apiKey) connection.close('invalid_api_key');
        }
      }
    } catch (error) {
      // A store that does not answer says nothing about keys.
      this.logger.warn(`cannot ask whether API keys are still good: ${String(error)}`);
    } finally {
      this.isAsking = false;
    }
  }

  private byApiKey(): Map<string, Connection[]> {
    const found = new Map<string, Connection[]>();
    for (const connection of this.connections.all()) {
      const { apiKey } = connection;
      if (apiKey === undefined) continue;
      const others = found.get(apiKey);
      if (others) others.push(connection);
      else found.set(apiKey, [connection]);
    }
    return found;
  }

  /** One that has expired is told so, by the other timer. */
  private async isGood(apiKey: string): Promise<boolean> {
    try {
      await this.authenticator.authenticate({ apiKey });
      return true;
    } catch (error) {
      if (!(error instanceof AppError) || error.kind !== 'unauthenticated') throw error;
      return error.code === 'api_key_expired';
    }
  }
}

const endOf = (connection: Connection): void =>
  connection.close(connection.apiKey === undefined ? 'token_expired' : 'api_key_expired');

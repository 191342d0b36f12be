import { performance } from 'node:perf_hooks';
import {
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { Authenticator } from '../../auth/authenticator.service.js';
import { Clock } from '../../database/clock.service.js';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { AppError } from '../../shared/app-error.js';
import { logFailure } from '../../shared/log-failure.js';
import { PollLoop } from '../../shared/poll-loop.timer.js';
import { Connections } from './connections.service.js';
import type { Connection } from './realtime.connection.js';

/** Ends connections whose credential has expired or was revoked since they were opened. */
@Injectable()
export class CredentialWatch implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(CredentialWatch.name);
  private timer: NodeJS.Timeout | undefined;
  private readonly recheck: PollLoop;

  constructor(
    private readonly authenticator: Authenticator,
    private readonly connections: Connections,
    private readonly clock: Clock,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {
    this.recheck = new PollLoop({
      run: () => this.recheckApiKeys(),
      // A store that does not answer says nothing about keys: the connections stay.
      onError: (error) => logFailure(this.logger, 'warn', 'cannot recheck API keys', error),
      everyMs: timings.apiKeyRecheckMs,
      maxErrorWaitMs: timings.apiKeyRecheckMs,
    });
  }

  /** One timer for all: a timer per connection cannot wait until a time in the far future. */
  onApplicationBootstrap(): void {
    this.timer = setInterval(() => this.endExpired(), this.timings.expiryCheckMs).unref();
    this.recheck.start();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
    void this.recheck.stop();
  }

  private endExpired(): void {
    const now = this.clock.nowMs();
    for (const connection of this.connections.all()) {
      const { expiresAtMs } = connection.principal;
      if (expiresAtMs === undefined || expiresAtMs > now) continue;
      connection.close(connection.apiKey === undefined ? 'token_expired' : 'api_key_expired');
    }
  }

  /** One key after the other, to spare the store; most answers come from the authenticator's cache. */
  private async recheckApiKeys(): Promise<undefined> {
    for (const [apiKey, connections] of this.byApiKey()) {
      if (await this.isValid(apiKey)) continue;
      for (const connection of connections) {
        // It may have refreshed to a token meanwhile.
        if (connection.apiKey === apiKey) connection.close('invalid_api_key');
      }
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

  /** An expired key counts as valid here: the other timer ends its connections, with their own reason. */
  private async isValid(apiKey: string): Promise<boolean> {
    try {
      await this.authenticator.authenticate({ apiKey });
      return true;
    } catch (error) {
      if (!(error instanceof AppError) || error.kind !== 'unauthenticated') throw error;
      return error.code === 'api_key_expired';
    }
  }
}

/** How far a client had read when it last made progress. */
interface Progress {
  readBytes: number;
  atMs: number;
}

/**
 * Ends connections whose clients have stopped reading while frames wait for them. A client that is
 * only slow may stay, as long as its backlog is below the limit.
 */
@Injectable()
export class SlowConsumerWatch implements OnApplicationBootstrap, OnModuleDestroy {
  /** Of the connections with a backlog. */
  private readonly behind = new WeakMap<Connection, Progress>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly connections: Connections,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {}

  onApplicationBootstrap(): void {
    const { slowConsumerCheckMs } = this.timings;
    // As immediates, which run after socket I/O: after a pause of this process, its view is stale.
    this.timer = setInterval(() => setImmediate(() => this.check()), slowConsumerCheckMs).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
  }

  private check(): void {
    const now = performance.now();
    for (const connection of this.connections.all()) {
      if (this.isStuck(connection, now)) connection.close('slow_consumer');
    }
  }

  private isStuck(connection: Connection, now: number): boolean {
    const { backlogBytes, sentBytes } = connection;
    if (backlogBytes === 0) {
      this.behind.delete(connection);
      return false;
    }
    const readBytes = sentBytes - backlogBytes;
    const last = this.behind.get(connection);
    if (last && readBytes <= last.readBytes) return now - last.atMs >= this.timings.stuckMs;
    this.behind.set(connection, { readBytes, atMs: now });
    return false;
  }
}

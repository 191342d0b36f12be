import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { performance } from 'node:perf_hooks';
import { type BeforeApplicationShutdown, Injectable, Logger } from '@nestjs/common';
import { NodeEvents } from '../../cluster/node-events.js';
import { NodeRegistry } from '../../cluster/node-registry.service.js';
import { shareOf } from '../../auth/principal.js';
import { Clock } from '../../database/clock.service.js';
import { isOutage } from '../../database/sql-errors.js';
import { logFailure } from '../../shared/log-failure.js';
import { retryUntilDone } from '../../shared/retry.timer.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { ConnectionEvents } from '../connections/connection-events.js';
import { Connections } from '../connections/connections.service.js';
import { OwnerRateLimiter } from '../connections/rate-limit.js';
import type { Connection } from '../connections/realtime.connection.js';
import { type ConnectionChange, eventsOf, planOf } from './connection-changes.js';
import { ConnectionRegisterStore, type RegisteredConnection } from './connection-register.store.js';

/** Changes within this time are written together: a crowd reconnects in a few statements. */
const COLLECT_MS = 50;
const CHANGES_AT_ONCE = 500;
const RETRY_MS = 1_000;
/** For the last changes to be written; another node publishes what is left then. */
const SHUTDOWN_TIMEOUT_MS = 3_000;

/**
 * Connections that are announced, of each owner and per node: a whole crowd at once, and then as many
 * as the log can take continuously from clients that connect and disconnect all the time.
 */
const ANNOUNCED_PER_SECOND = 50;
const ANNOUNCED_BURST = 5_000;
/** Changes that wait to be written; further connections are neither registered nor announced. */
const MAX_WAITING = 50_000;

/**
 * Writes connections into the register, and publishes `client-connected` and `client-disconnected`.
 * No connection waits for that. The end is published before the row is deleted, so a node that dies in
 * between has its ends published again: at least once.
 */
@Injectable()
export class ConnectionRegister implements BeforeApplicationShutdown {
  private readonly logger = new Logger(ConnectionRegister.name);
  private readonly budgets = new OwnerRateLimiter(ANNOUNCED_PER_SECOND, ANNOUNCED_BURST);
  private changes: ConnectionChange[] = [];
  /** Of the connections that have a row. */
  private readonly numbers = new Map<string, number>();
  private writing: Promise<void> | undefined;
  private isClosing = false;
  private unannounced = 0;

  constructor(
    private readonly connections: Connections,
    private readonly store: ConnectionRegisterStore,
    private readonly nodes: NodeRegistry,
    private readonly systemEvents: SystemEvents,
    private readonly clock: Clock,
    nodeEvents: NodeEvents,
    connectionEvents: ConnectionEvents,
  ) {
    connectionEvents.on('opened', (connection) => this.enter(connection));
    nodeEvents.on('reregistered', () => this.enterAgain());
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.isClosing = true;
    try {
      await Promise.race([this.writing, delay(SHUTDOWN_TIMEOUT_MS, undefined, { ref: false })]);
    } catch (error) {
      logFailure(this.logger, 'warn', 'another node publishes the last connections', error);
    }
  }

  private enter(connection: Connection): void {
    if (this.changes.length >= MAX_WAITING) return;
    const registered = this.registered(connection);
    this.add({ connection: registered });
    connection.whenEnded(() => {
      const reason = connection.closeReason ?? 'client_left';
      this.add({ connection: registered, end: { reason, atMs: this.clock.nowMs() } });
    });
  }

  /** Their ends may have been published: they are announced again. */
  private enterAgain(): void {
    for (const connection of this.connections.all()) {
      this.add({ connection: this.registered(connection) });
    }
  }

  private registered(connection: Connection): RegisteredConnection {
    const { id, principal, clientId, address, transport, openedAtMs } = connection;
    const isAnnounced = this.budgets.take(shareOf(principal), performance.now());
    if (!isAnnounced) this.unannounced++;
    return {
      id,
      ownerId: principal.ownerId,
      userId: principal.userId,
      clientId,
      address,
      transport,
      connectedAtMs: this.clock.nowMs() - Math.round(performance.now() - openedAtMs),
      isAnnounced,
      clientNumber: this.numbers.get(id),
    };
  }

  private add(change: ConnectionChange): void {
    this.changes.push(change);
    this.writing ??= this.write();
  }

  private async write(): Promise<void> {
    try {
      while (this.changes.length > 0) {
        await (this.isClosing ? turn() : delay(COLLECT_MS, undefined, { ref: false }));
        await this.writeChanges(this.changes.splice(0, CHANGES_AT_ONCE));
      }
      if (this.unannounced > 0)
        this.logger.warn(`${this.unannounced} connections were not announced`);
      this.unannounced = 0;
    } finally {
      // In the turn in which nothing was left: a later change begins the next write.
      this.writing = undefined;
    }
  }

  private async writeChanges(changes: readonly ConnectionChange[]): Promise<void> {
    const { entries, removed } = planOf(changes, (id) => this.numbers.get(id));
    const entered = await this.retried(() => this.store.enter(this.nodes.id, entries));
    for (const { connection, isKept } of entries) {
      const clientNumber = entered?.get(connection.id)?.clientNumber;
      if (!isKept) this.numbers.delete(connection.id);
      else if (clientNumber !== undefined) this.numbers.set(connection.id, clientNumber);
    }
    const events = eventsOf(changes, entered ?? new Map());
    await this.retried(() => this.systemEvents.publish(events));
    await this.retried(() => this.store.remove(this.nodes.id, removed));
  }

  /**
   * Repeated while the database is away.
   *
   * @returns undefined: the write has failed for another reason, and is dropped
   */
  private async retried<Result>(write: () => Promise<Result>): Promise<Result | undefined> {
    try {
      return await retryUntilDone(write, {
        isFinal: (error) => this.isClosing || !isOutage(error),
        onError: (error) =>
          logFailure(this.logger, 'warn', 'connections are not registered yet', error),
        minWaitMs: RETRY_MS,
        maxWaitMs: RETRY_MS,
      });
    } catch (error) {
      if (isOutage(error)) throw error;
      logFailure(this.logger, 'error', 'connections cannot be registered', error);
      return undefined;
    }
  }
}

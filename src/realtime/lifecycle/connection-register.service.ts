import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { performance } from 'node:perf_hooks';
import { type BeforeApplicationShutdown, Injectable, Logger } from '@nestjs/common';
import { UnavailableError } from '../../shared/app-error.js';
import { isStoreOutage } from '../../database/sql-errors.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { ConnectionEvents } from '../connections/connection-events.js';
import { Connections } from '../connections/connections.service.js';
import { OwnerRateLimiter } from '../connections/rate-limit.js';
import type { Connection } from '../connections/realtime.connection.js';
import { type ConnectionChange, planOf } from './connection-changes.js';
import { ConnectionRegisterStore, type RegisteredConnection } from './connection-register.store.js';
import { NodeLease } from './node-lease.service.js';

/** What happens within this time is written together: a crowd comes back in a few statements. */
const COLLECT_MS = 50;
const CHANGES_AT_ONCE = 500;
const RETRY_MS = 1_000;
/** For the last ones to be written; what is left then is told by whoever finds it. */
const PATIENCE_MS = 3_000;

/**
 * Connections that are told about, of each owner and per process: a whole crowd at once, and then as
 * many as the log can take for ever from clients that come and go without end.
 */
const TOLD_PER_SECOND = 50;
const TOLD_BURST = 5_000;
/** Connections that wait to be registered; what comes on top is neither registered nor told about. */
const MAX_WAITING = 50_000;

/**
 * Writes who comes and goes into the register, and tells about it with `client-connected` and
 * `client-disconnected`. No connection waits for that. The end is told before the row goes, so a
 * process that dies in between has its ends told again: at least once, never not at all.
 */
@Injectable()
export class ConnectionRegister implements BeforeApplicationShutdown {
  private readonly logger = new Logger(ConnectionRegister.name);
  private readonly budgets = new OwnerRateLimiter(TOLD_PER_SECOND, TOLD_BURST);
  private changes: ConnectionChange[] = [];
  private writing: Promise<void> | undefined;
  private isClosing = false;
  private untold = 0;

  constructor(
    private readonly connections: Connections,
    private readonly store: ConnectionRegisterStore,
    private readonly lease: NodeLease,
    private readonly systemEvents: SystemEvents,
    events: ConnectionEvents,
  ) {
    events.on('opened', (connection) => this.enter(connection));
    lease.whenLost(() => this.enterAgain());
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.isClosing = true;
    try {
      await Promise.race([this.writing, delay(PATIENCE_MS, undefined, { ref: false })]);
      await this.lease.leave();
    } catch (error) {
      this.logger.warn(`what is left in the register is for others to tell: ${String(error)}`);
    }
  }

  private enter(connection: Connection): void {
    if (this.changes.length >= MAX_WAITING) return;
    const registered = this.registered(connection);
    this.add({ connection: registered });
    connection.whenEnded(() => {
      const reason = connection.closeReason ?? 'client_left';
      this.add({ connection: registered, end: { reason, atMs: Date.now() } });
    });
  }

  /** Their ends may have been told; that they are there is told again. */
  private enterAgain(): void {
    for (const connection of this.connections.all()) {
      this.add({ connection: this.registered(connection) });
    }
  }

  private registered({ id, principal, transport, openedAtMs }: Connection): RegisteredConnection {
    const isTold = this.budgets.take(principal.ownerId, performance.now());
    if (!isTold) this.untold++;
    return {
      id,
      ownerId: principal.ownerId,
      transport,
      connectedAtMs: openedAtMs,
      isAnnounced: isTold,
    };
  }

  private add(change: ConnectionChange): void {
    this.changes.push(change);
    this.writing ??= this.write().finally(() => (this.writing = undefined));
  }

  private async write(): Promise<void> {
    while (this.changes.length > 0) {
      await (this.isClosing ? turn() : delay(COLLECT_MS, undefined, { ref: false }));
      const { added, events, removed } = planOf(this.changes.splice(0, CHANGES_AT_ONCE));
      await this.untilDone(() => this.store.add(this.lease.nodeId, added));
      await this.untilDone(() => this.systemEvents.publish(events));
      await this.untilDone(() => this.store.remove(this.lease.nodeId, removed));
    }
    if (this.untold > 0) this.logger.warn(`${this.untold} connections were not told about`);
    this.untold = 0;
  }

  /** While the database is away things wait; what it refuses for another reason it always will. */
  private async untilDone(write: () => Promise<void>): Promise<void> {
    for (;;) {
      try {
        return await write();
      } catch (error) {
        if (!isStoreOutage(error) && !(error instanceof UnavailableError)) {
          return this.logger.error(`connections cannot be registered: ${String(error)}`);
        }
        if (this.isClosing) throw error;
        this.logger.warn(`connections are not registered yet: ${String(error)}`);
        await delay(RETRY_MS, undefined, { ref: false });
      }
    }
  }
}

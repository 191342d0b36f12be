import { Injectable, Logger } from '@nestjs/common';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { disconnected } from './connection-changes.js';
import { ConnectionRegisterStore, type LostConnection } from './connection-register.store.js';
import { LEASE_MS, NodeLease } from './node-lease.service.js';

const CONNECTIONS_AT_ONCE = 500;

/**
 * Before it judges others, a process has itself been seen for as long as a lease lasts: when the
 * database was away for all, everybody has had the time to renew.
 */
const RENEWALS_BEFORE = 4;

/**
 * Tells the ends of connections whose process has died: that of another one, or its own earlier life.
 * They stay in the register, as taken over, until that has been told.
 */
@Injectable()
export class LostConnections {
  private readonly logger = new Logger(LostConnections.name);
  private sweeping: Promise<void> | undefined;
  private taken: LostConnection[] = [];

  constructor(
    private readonly store: ConnectionRegisterStore,
    private readonly lease: NodeLease,
    private readonly systemEvents: SystemEvents,
  ) {
    lease.whenRenewed(() => {
      if (lease.renewals < RENEWALS_BEFORE) return;
      this.sweeping ??= this.sweep().finally(() => (this.sweeping = undefined));
    });
  }

  private async sweep(): Promise<void> {
    try {
      do {
        await this.tell(this.taken);
        this.taken = [];
        this.taken = await this.store.takeOver(this.lease.nodeId, LEASE_MS, CONNECTIONS_AT_ONCE);
      } while (this.taken.length > 0);
    } catch (error) {
      this.logger.warn(`connections of a dead process are still to be told: ${String(error)}`);
    }
  }

  private async tell(lost: readonly LostConnection[]): Promise<void> {
    if (lost.length === 0) return;
    const events = lost
      .filter(({ isAnnounced }) => isAnnounced)
      .map((each) => disconnected(each, { reason: 'server_lost', atMs: each.endedAtMs }));
    await this.systemEvents.publish(events);
    await this.store.remove(
      this.lease.nodeId,
      lost.map(({ id }) => id),
    );
    this.logger.warn(`${lost.length} connections ended with their process`);
  }
}

import { Inject, Injectable, Logger } from '@nestjs/common';
import { NodeEvents } from '../../cluster/node-events.js';
import { NodeRegistry } from '../../cluster/node-registry.service.js';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { logFailure } from '../../shared/log-failure.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { type ConnectionChange, eventsOf } from './connection-changes.js';
import {
  ConnectionRegisterStore,
  type Entered,
  type LostConnection,
} from './connection-register.store.js';
import { RealtimeTotalsStore } from './realtime-totals.store.js';

const CONNECTIONS_AT_ONCE = 500;
/** Longer than it takes to announce a connection, with a store that is away for a while. */
const YOUNG_MS = 60_000;

/**
 * Publishes `client-disconnected` for the connections of lost nodes, which may be earlier processes
 * on this machine. A connection stays in the register, as taken over, until that is published.
 */
@Injectable()
export class LostConnections {
  private readonly logger = new Logger(LostConnections.name);
  private sweeping: Promise<void> | undefined;
  private taken: LostConnection[] = [];

  constructor(
    private readonly store: ConnectionRegisterStore,
    private readonly totals: RealtimeTotalsStore,
    private readonly nodes: NodeRegistry,
    private readonly systemEvents: SystemEvents,
    @Inject(TIMINGS) private readonly timings: Timings,
    events: NodeEvents,
  ) {
    events.on('renewed', () => {
      this.sweeping ??= this.sweep().finally(() => (this.sweeping = undefined));
    });
  }

  private async sweep(): Promise<void> {
    const { nodeLeaseMs } = this.timings;
    try {
      do {
        await this.publishEnds(this.taken);
        this.taken = [];
        this.taken = await this.store.takeOver(this.nodes.id, nodeLeaseMs, CONNECTIONS_AT_ONCE);
      } while (this.taken.length > 0);
    } catch (error) {
      logFailure(this.logger, 'warn', 'connections of a lost node wait to be published', error);
    }
  }

  /**
   * Those that their node has registered and died before it could publish `client-connected`. It does
   * both within moments, so only connections that were young at its death are looked for in the log.
   */
  private async unwritten(lost: readonly LostConnection[]): Promise<LostConnection[]> {
    const young = lost.filter(
      ({ connectedAtMs, endedAtMs }) => endedAtMs - connectedAtMs < YOUNG_MS,
    );
    if (young.length === 0) return [];
    const written = await this.store.announced(young);
    return young.filter(({ id }) => !written.has(id));
  }

  private async publishEnds(lost: readonly LostConnection[]): Promise<void> {
    if (lost.length === 0) return;
    const unwritten = await this.unwritten(lost.filter(({ isAnnounced }) => isAnnounced));
    const changes: ConnectionChange[] = [
      ...unwritten.map((connection) => ({ connection })),
      ...lost.map((connection) => ({
        connection,
        end: { reason: 'server_lost' as const, atMs: connection.endedAtMs },
      })),
    ];
    await this.systemEvents.publish(eventsOf(changes, await this.counted(lost)));
    await this.store.remove(this.nodes.id, lost);
    this.logger.warn(`${lost.length} connections ended with their node`);
  }

  /** All of them are counted until their rows are removed. */
  private async counted(lost: readonly LostConnection[]): Promise<Map<string, Entered>> {
    const owners = new Set(lost.map(({ ownerId }) => ownerId));
    const totalsOf = await this.totals.ofOwners([...owners]);
    return new Map(
      lost.flatMap(({ id, ownerId, clientNumber }) => {
        const totals = totalsOf.get(ownerId);
        return totals ? [[id, { clientNumber, isNew: false, totals }] as const] : [];
      }),
    );
  }
}

import { Inject, Injectable, Logger } from '@nestjs/common';
import { NodeEvents } from '../../cluster/node-events.js';
import { NodeRegistry } from '../../cluster/node-registry.service.js';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { logFailure } from '../../shared/log-failure.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { connected, disconnected } from './connection-changes.js';
import { ConnectionRegisterStore, type LostConnection } from './connection-register.store.js';

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
    const announced = lost.filter(({ isAnnounced }) => isAnnounced);
    const unwritten = await this.unwritten(announced);
    const ends = announced.map((each) =>
      disconnected(each, { reason: 'server_lost', atMs: each.endedAtMs }),
    );
    await this.systemEvents.publish([...unwritten.map(connected), ...ends]);
    await this.store.remove(
      this.nodes.id,
      lost.map(({ id }) => id),
    );
    this.logger.warn(`${lost.length} connections ended with their node`);
  }
}

import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import { CONFIG } from '../config/config.module.js';
import type { Config, Role } from '../config/env.js';
import { TIMINGS, type Timings } from '../config/timings.js';
import { logFailure } from '../shared/log-failure.js';
import { PollLoop } from '../shared/poll-loop.timer.js';
import { NodeEvents } from './node-events.js';
import { type AliveCounts, NodeRegistryStore } from './node-registry.store.js';
import { RealtimeBus } from './realtime-bus.client.js';

/**
 * The one place that decides which nodes are alive: every node has an entry in the table `nodes` and
 * renews it. A node that was stopped or cut off for longer than its lease is lost to the others; it
 * continues under another id, with the connections that it still has.
 */
@Injectable()
export class NodeRegistry implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(NodeRegistry.name);
  private readonly loop: PollLoop;
  private currentId: string;
  private entry: 'none' | 'registered' | 'lost' = 'none';
  private others: AliveCounts = {};
  /** Start of the present series of successful renewals; undefined: the last one failed. */
  private renewedSinceMs: number | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(TIMINGS) private readonly timings: Timings,
    private readonly store: NodeRegistryStore,
    private readonly events: NodeEvents,
    bus: RealtimeBus,
  ) {
    this.currentId = bus.node;
    this.loop = new PollLoop({
      run: () => this.tick(),
      onError: (error) => this.failed(error),
      everyMs: timings.nodeRenewMs,
      maxErrorWaitMs: timings.nodeRenewMs,
    });
  }

  /** The id of this node's entry. It changes when this node was taken for dead. */
  get id(): string {
    return this.currentId;
  }

  /** Nodes with this role that were alive at the last renewal, this node included if it has the role. */
  aliveCount(role: Role): number {
    return (this.others[role] ?? 0) + (this.config.roles.has(role) ? 1 : 0);
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.renew().catch((error: unknown) => this.failed(error));
    this.loop.start();
  }

  /** The last of these hooks to run: the module is global and imported before those that use it. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.loop.stop();
    await this.store.leave(this.currentId).catch((error: unknown) => {
      logFailure(this.logger, 'warn', 'the entry of this node stays until its lease ends', error);
    });
  }

  private async tick(): Promise<undefined> {
    await this.renew();
    if (this.mayJudgeOthers) await this.store.markLost(this.currentId);
    this.events.emit('renewed');
  }

  private async renew(): Promise<void> {
    if (this.entry === 'registered') {
      const others = await this.store.renew(this.currentId, this.timings.nodeLeaseMs);
      if (others) this.others = others;
      else this.lost();
    }
    if (this.entry !== 'registered') await this.register();
    this.renewedSinceMs ??= performance.now();
  }

  private async register(): Promise<void> {
    const { nodeLeaseMs } = this.timings;
    this.others = await this.store.enter(this.currentId, nodeLeaseMs, [...this.config.roles]);
    const wasLost = this.entry === 'lost';
    this.entry = 'registered';
    if (wasLost) this.events.emit('reregistered');
  }

  private lost(): void {
    this.logger.warn('this node was taken for dead, and registers again');
    this.currentId = randomUUID();
    this.entry = 'lost';
    this.renewedSinceMs = undefined;
  }

  /** Only after renewing for a whole lease: when the database was away, all others had that time too. */
  private get mayJudgeOthers(): boolean {
    const { nodeLeaseMs, nodeRenewMs } = this.timings;
    const sinceMs = this.renewedSinceMs ?? Infinity;
    return performance.now() - sinceMs >= nodeLeaseMs - nodeRenewMs;
  }

  private failed(error: unknown): void {
    if (this.renewedSinceMs !== undefined) {
      logFailure(this.logger, 'warn', 'this node cannot renew its entry', error);
    }
    this.renewedSinceMs = undefined;
  }
}

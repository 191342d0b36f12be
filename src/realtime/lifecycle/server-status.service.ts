import { setTimeout as delay } from 'node:timers/promises';
import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { OPERATOR } from '../../shared/visibility.js';
import { VERSION } from '../../shared/version.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { NodeRegistryStore } from '../../cluster/node-registry.store.js';
import { RealtimeBus } from '../../cluster/realtime-bus.client.js';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { type RealtimeTotals, RealtimeTotalsStore } from './realtime-totals.store.js';

const TIMEOUT_MS = 2_000;
/** A change is published when it was seen this often in a row. */
const CHECKS_IN_A_ROW = 2;

type Check = 'up' | 'down';
interface Checks {
  database: Check;
  /** Absent: no Redis is configured. */
  redis?: Check;
}

/**
 * Publishes `server-status` for the operator: this node has started, is about to stop, or has lost or
 * found one of its stores. What cannot be written while the database is away is written when it is
 * back.
 */
@Injectable()
export class ServerStatus implements OnApplicationBootstrap, OnModuleDestroy {
  private timer: NodeJS.Timeout | undefined;
  private isChecking = false;
  private published: Checks;
  private seen: Checks;
  private seenTimes = 0;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(TIMINGS) private readonly timings: Timings,
    private readonly store: NodeRegistryStore,
    private readonly totals: RealtimeTotalsStore,
    private readonly bus: RealtimeBus,
    private readonly systemEvents: SystemEvents,
  ) {
    this.published = this.seen = { database: 'up', ...(!bus.isAlone && { redis: 'up' }) };
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.publish('started');
    this.timer = setInterval(() => {
      if (!this.isChecking) void this.check();
    }, this.timings.storeCheckMs).unref();
  }

  async onModuleDestroy(): Promise<void> {
    clearInterval(this.timer);
    await this.publish('stopping');
  }

  private async check(): Promise<void> {
    this.isChecking = true;
    const database = await this.checkDatabase();
    this.isChecking = false;
    const { isAlone, isConnected } = this.bus;
    this.consider({ database, ...(!isAlone && { redis: isConnected ? 'up' : 'down' }) });
  }

  private consider(checks: Checks): void {
    this.seenTimes = isSame(checks, this.seen) ? this.seenTimes + 1 : 1;
    this.seen = checks;
    if (isSame(checks, this.published) || this.seenTimes < CHECKS_IN_A_ROW) return;
    this.published = checks;
    void this.publish(Object.values(checks).includes('down') ? 'degraded' : 'healthy');
  }

  private async checkDatabase(): Promise<Check> {
    const checked = this.store.ping().then(
      () => 'up' as const,
      () => 'down' as const,
    );
    return Promise.race([checked, delay(TIMEOUT_MS, 'down' as const, { ref: false })]);
  }

  /** Undefined while the database does not respond. */
  private async readTotals(): Promise<RealtimeTotals | undefined> {
    if (this.published.database === 'down') return undefined;
    const read = this.totals.ofAll().catch(() => undefined);
    return Promise.race([read, delay(TIMEOUT_MS, undefined, { ref: false })]);
  }

  private async publish(status: 'started' | 'stopping' | 'degraded' | 'healthy'): Promise<void> {
    const checks = { ...this.published };
    const at = new Date().toISOString();
    const totals = await this.readTotals();
    this.systemEvents.emit({
      type: 'server-status',
      ownerId: OPERATOR,
      data: {
        status,
        node: this.bus.node,
        roles: [...this.config.roles],
        version: VERSION,
        checks,
        ...totals,
        at,
      },
    });
  }
}

const isSame = (one: Checks, other: Checks): boolean =>
  one.database === other.database && one.redis === other.redis;

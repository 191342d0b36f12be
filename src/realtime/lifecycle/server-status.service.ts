import { setTimeout as delay } from 'node:timers/promises';
import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { VERSION } from '../../shared/version.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { PostgresClient } from '../../database/postgres.client.js';
import { OPERATOR } from '../../system-events/system-event.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { RealtimeBus } from '../../cluster/realtime-bus.client.js';

const CHECK_MS = 2_500;
const TIMEOUT_MS = 2_000;
/** A change counts when it was seen this often in a row. */
const SAME_BEFORE_TOLD = 2;

const PING = { name: 'ping', text: 'SELECT 1' };

type Check = 'up' | 'down';
interface Checks {
  database: Check;
  /** Absent: there is none. */
  redis?: Check;
}

/**
 * Tells the operator with the event `server-status` that this process has started, is about to stop,
 * or has lost or found one of its stores. What cannot be written while the database is away is
 * written when it is back.
 */
@Injectable()
export class ServerStatus implements OnApplicationBootstrap, OnModuleDestroy {
  private timer: NodeJS.Timeout | undefined;
  private isChecking = false;
  private told: Checks;
  private seen: Checks;
  private seenTimes = 0;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    private readonly postgres: PostgresClient,
    private readonly bus: RealtimeBus,
    private readonly systemEvents: SystemEvents,
  ) {
    this.told = this.seen = { database: 'up', ...(!bus.isAlone && { redis: 'up' }) };
  }

  onApplicationBootstrap(): void {
    this.tell('started');
    this.timer = setInterval(() => {
      if (!this.isChecking) void this.check();
    }, CHECK_MS).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
    this.tell('stopping');
  }

  private async check(): Promise<void> {
    this.isChecking = true;
    const database = await this.askDatabase();
    this.isChecking = false;
    const { isAlone, isConnected } = this.bus;
    this.consider({ database, ...(!isAlone && { redis: isConnected ? 'up' : 'down' }) });
  }

  private consider(checks: Checks): void {
    this.seenTimes = isSame(checks, this.seen) ? this.seenTimes + 1 : 1;
    this.seen = checks;
    if (isSame(checks, this.told) || this.seenTimes < SAME_BEFORE_TOLD) return;
    this.told = checks;
    this.tell(Object.values(checks).includes('down') ? 'degraded' : 'healthy');
  }

  private async askDatabase(): Promise<Check> {
    const answered = this.postgres.run(PING, []).then(
      () => 'up' as const,
      () => 'down' as const,
    );
    return Promise.race([answered, delay(TIMEOUT_MS, 'down' as const, { ref: false })]);
  }

  private tell(status: 'started' | 'stopping' | 'degraded' | 'healthy'): void {
    this.systemEvents.emit({
      type: 'server-status',
      ownerId: OPERATOR,
      data: {
        status,
        node: this.bus.node,
        roles: [...this.config.roles],
        version: VERSION,
        checks: { ...this.told },
        at: new Date().toISOString(),
      },
    });
  }
}

const isSame = (one: Checks, other: Checks): boolean =>
  one.database === other.database && one.redis === other.redis;

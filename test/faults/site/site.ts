import { setTimeout as delay } from 'node:timers/promises';
import type { Client } from 'pg';
import { PostgresServer } from '../../support/postgres-server.js';
import { RedisEndpoint } from '../../support/redis-endpoint.js';
import { type RedisServer, startRedisServer } from '../../support/redis-server.js';
import { JWT_SECRET } from '../../support/tokens.js';
import type { LedgerRecord } from '../ledger/records.js';
import { Member } from './member.js';

/** A short timeout makes short leases: rows of a dead worker are free after 16 s. */
export const TIMEOUT_MS = 1_500;
/** How long a lease lasts at most: timeout, wait and margin. */
export const LEASE_MS = TIMEOUT_MS + 15_000;
/** How many failures in a row open a circuit in these tests. */
export const OPENS_AFTER = 5;
/** Longer in total than any fault, so that no fault alone makes dead letters. */
const SCHEDULE_MS = [200, 500, 1_000, 2_000, 3_000, 5_000, 8_000, 8_000, 8_000, 8_000];

/** split: one process for the API and two workers; whole: two processes with all roles. */
export type Shape = 'split' | 'whole';

/** As whom the product uses Redis; the harness is another user. */
export const REDIS_USER = 'product';
export const REDIS_PASSWORD = 'the-password-of-redis';
const REDIS_SETTINGS = ['--user', REDIS_USER, 'on', `>${REDIS_PASSWORD}`, '~*', '&*', '+@all'];

const DATABASE = 'tidings';
const CONNECT_ATTEMPTS = 100;
const BETWEEN_CONNECTS_MS = 200;

/**
 * The product as real processes on real stores of its own, so that faults may break any of them.
 * Records go to the current run.
 */
export class Site {
  private readonly members: Member[] = [];
  private control: Client | undefined;
  /** Records what happens to the processes. */
  record: (record: LedgerRecord) => void = () => undefined;

  private constructor(
    readonly shape: Shape,
    /** The directory for files of its runs. */
    readonly directory: string,
    readonly postgres: PostgresServer,
    private redisServer: RedisServer,
    /** All traffic of the processes with Redis passes through it. */
    readonly redisEndpoint: RedisEndpoint,
  ) {}

  /** @param options.directory for all its files; removed with them */
  static async open(
    shape: Shape,
    options: { directory: string; dataDisk?: string },
  ): Promise<Site> {
    const { directory: parent, dataDisk } = options;
    const [postgres, redis] = await Promise.all([
      PostgresServer.create({
        parent,
        ...(dataDisk && { dataDisk }),
        settings: { max_connections: '70' },
      }),
      startRedisServer({ settings: REDIS_SETTINGS }),
    ]);
    const endpoint = await RedisEndpoint.to(redis.port);
    const site = new Site(shape, parent, postgres, redis, endpoint);
    try {
      await postgres.createDatabase(DATABASE);
      await site.startMembers();
    } catch (error) {
      await site.close();
      throw error;
    }
    return site;
  }

  get redis(): RedisServer {
    return this.redisServer;
  }

  /** The process that publishers and sockets use. */
  get api(): Member {
    return this.members[0]!;
  }

  /** The processes that make attempts. */
  get workers(): Member[] {
    return this.shape === 'whole' ? this.members : this.members.slice(1);
  }

  get all(): readonly Member[] {
    return this.members;
  }

  /** Restarts Redis on the same port, without data. */
  async restartRedis(): Promise<void> {
    const { port } = this.redisServer;
    this.redisServer = await startRedisServer({ port, settings: REDIS_SETTINGS });
  }

  /** SIGTERM to all processes at once. Returns how long each took, by name. */
  async stopInOrder(): Promise<Map<string, number>> {
    const stopped = this.members.map(
      async (member) => [member.name, await member.terminate()] as const,
    );
    return new Map(await Promise.all(stopped));
  }

  /** Starts all processes that have ended. */
  async startAgain(): Promise<void> {
    await Promise.all(this.members.map((member) => member.start()));
  }

  /** Runs a statement of the harness, without a proxy. */
  async query<Row extends object>(text: string, values: unknown[] = []): Promise<Row[]> {
    const client = await this.database();
    return (await client.query<Row>(text, values)).rows;
  }

  /** The connection of the harness; reconnects after the server was unavailable. */
  async database(): Promise<Client> {
    for (let attempt = 1; ; attempt++) {
      try {
        this.control ??= await this.postgres.connect(DATABASE);
        await this.control.query('SELECT 1');
        return this.control;
      } catch (error) {
        this.control = undefined;
        if (attempt === CONNECT_ATTEMPTS) throw error;
        await delay(BETWEEN_CONNECTS_MS);
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all(this.members.map((member) => member.leave()));
    await this.control?.end().catch(() => undefined);
    await Promise.all([
      this.redisEndpoint.close(),
      this.redisServer.kill(),
      this.postgres.remove(),
    ]);
  }

  private async startMembers(): Promise<void> {
    const roles: Record<string, string> =
      this.shape === 'whole'
        ? { first: 'api,worker,realtime', second: 'api,worker,realtime' }
        : { api: 'api,realtime', 'worker-1': 'worker', 'worker-2': 'worker' };
    const joins = Object.entries(roles).map(([name, role]) => this.join(name, role));
    this.members.push(...(await Promise.all(joins)));
  }

  private join(name: string, roles: string): Promise<Member> {
    const environment = (port: number) => ({
      NODE_ENV: 'test',
      PORT: '0',
      ROLES: roles,
      DATABASE_URL: `postgres://postgres@127.0.0.1:${port}/${DATABASE}`,
      REDIS_URL: this.redisEndpoint.url(`${REDIS_USER}:${REDIS_PASSWORD}@`),
      JWT_SECRET,
      SECRETS_KEY: Buffer.alloc(32, 7).toString('base64'),
      OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8',
      OUTBOUND_ALLOW_HTTP: 'true',
      DELIVERY_TIMEOUT_MS: String(TIMEOUT_MS),
      DELIVERY_RETRY_SCHEDULE_MS: SCHEDULE_MS.join(),
      BREAKER_FAILURE_THRESHOLD: String(OPENS_AFTER),
      BREAKER_OPEN_MS: '2000',
    });
    const target = { path: this.postgres.socket };
    return Member.join(name, target, environment, (record) => this.record(record));
  }
}

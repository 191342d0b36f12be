import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import type { Client } from 'pg';
import { REDIS_PASSWORD, REDIS_USER, type Site } from '../site/site.js';
import { AFTER_LEASE, type Fault, PROMPT, type Scene } from './fault.js';
import { step } from './process-faults.js';

/** How long a store is unavailable. */
const AWAY_MS = 4_000;
const EVERY_MS = 300;

/** SQLSTATE `deadlock_detected`. */
const DEADLOCK = '40P01';

const onRedis = (name: string, inflict: Fault['inflict'], isShort = false): Fault => ({
  name: `Redis: ${name}`,
  target: 'redis',
  budget: PROMPT,
  isShort,
  inflict,
});

const onPostgres = (name: string, inflict: Fault['inflict'], more: Partial<Fault> = {}): Fault => ({
  name: `PostgreSQL: ${name}`,
  target: 'postgres',
  // The answer to a claim may be lost with its connection; then the rows wait for the lease to end.
  budget: AFTER_LEASE,
  inflict,
  ...more,
});

export const redisFaults: Fault[] = [
  onRedis(
    'kill -9, back and empty',
    async ({ site }) => {
      await site.redis.kill();
      await delay(AWAY_MS);
      await site.restartRedis();
    },
    true,
  ),
  onRedis(
    'FLUSHALL again and again',
    async ({ site }) => repeat(() => commandRedis(site, (redis) => redis.flushall())),
    true,
  ),
  onRedis('FLUSHALL every 2 s', async ({ site }) => {
    for (let n = 0; n < 5; n++) {
      await commandRedis(site, (redis) => redis.flushall());
      await delay(2_000);
    }
  }),
  onRedis('stopped (SIGSTOP)', async ({ site }) => {
    site.redis.pause();
    await delay(2 * AWAY_MS);
    site.redis.resume();
  }),
  onRedis('out of memory, noeviction', async ({ site }) => {
    await commandRedis(site, (redis) => redis.config('SET', 'maxmemory-policy', 'noeviction'));
    await commandRedis(site, (redis) => redis.config('SET', 'maxmemory', '1'));
    await delay(AWAY_MS);
    await commandRedis(site, (redis) => redis.config('SET', 'maxmemory', '0'));
  }),
  onRedis('read-only replica', async ({ site }) => {
    // A replica of a server that does not exist: like a former primary after a failover.
    await commandRedis(site, (redis) => redis.replicaof('127.0.0.1', 1));
    await delay(AWAY_MS);
    await commandRedis(site, (redis) => redis.replicaof('NO', 'ONE'));
  }),
  onRedis(
    'connections cut in the handshake',
    async ({ site }) => {
      site.redisEndpoint.behave({ kind: 'close', afterRequestBytes: 1 });
      await delay(AWAY_MS);
      site.redisEndpoint.behave({ kind: 'forward' });
    },
    true,
  ),
  onRedis('connections cut at random bytes', async ({ site, random }) => {
    await repeat(() => {
      const afterAnswerBytes = random.between(1, 4_000);
      site.redisEndpoint.behave({ kind: 'cut', afterAnswerBytes });
      return Promise.resolve();
    });
    site.redisEndpoint.behave({ kind: 'forward' });
  }),
  onRedis('accepts, and says nothing', async ({ site }) => {
    site.redisEndpoint.behave({ kind: 'silence' });
    await delay(2 * AWAY_MS);
    site.redisEndpoint.behave({ kind: 'forward' });
  }),
  onRedis('established connections say nothing any more', async ({ site }) => {
    site.redisEndpoint.behave({ kind: 'freeze' });
    await delay(2 * AWAY_MS);
  }),
  onRedis('CLIENT KILL again and again', async ({ site }) =>
    repeat(() => commandRedis(site, killClients)),
  ),
  onRedis('the password changes, and changes back', async ({ site }) => {
    await setUser(site, 'resetpass', '>another');
    await commandRedis(site, killClients);
    await delay(AWAY_MS);
    await setUser(site, `>${REDIS_PASSWORD}`);
  }),
  onRedis('the user may not use channels', async ({ site }) => {
    await setUser(site, 'resetchannels');
    await delay(AWAY_MS);
    await setUser(site, '&*');
  }),
];

const killClients = (redis: Redis) => redis.call('CLIENT', 'KILL', 'USER', REDIS_USER);

const setUser = (site: Site, ...rules: string[]): Promise<void> =>
  commandRedis(site, (redis) => redis.call('ACL', 'SETUSER', REDIS_USER, ...rules));

export const postgresFaults: Fault[] = [
  onPostgres(
    'immediate stop, and start',
    async ({ site }) => {
      await site.postgres.stop('immediate');
      await delay(AWAY_MS / 2);
      await site.postgres.start();
    },
    { isShort: true },
  ),
  onPostgres('backends terminated again and again', async ({ site }) => {
    await repeat(() =>
      site.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name <> 'tests'
           AND backend_type = 'client backend' AND pid <> pg_backend_pid()`,
      ),
    );
  }),
  onPostgres('out of connections', outOfConnections),
  onPostgres('connections reset on the way', async ({ site, random }) => {
    await repeat(() => Promise.resolve(random.pick(site.all).proxy.cut()));
  }),
  onPostgres(
    'connections become silent, new ones work',
    async ({ site }) => {
      for (const { proxy } of site.all) proxy.silence();
      await delay(AWAY_MS);
    },
    { isShort: true },
  ),
  onPostgres('silent to new connections too', async ({ site }) => {
    for (const { proxy } of site.all) proxy.silence({ andNew: true });
    await delay(2 * AWAY_MS);
    for (const { proxy } of site.all) proxy.speak();
  }),
  onPostgres('the answer to a commit is lost', async ({ site, publisher }) => {
    const nonce = randomUUID();
    const hold = site.api.proxy.hold({ marker: nonce, what: 'answer' });
    const published = publisher.publish('one', nonce);
    await step('the answer to the commit', hold.reached);
    site.api.proxy.cut();
    await published;
  }),
  onPostgres('the tables are locked', async ({ site }) => {
    const client = await site.postgres.connect('tidings');
    try {
      await lockTables(client);
      await delay(AWAY_MS);
      await client.query('COMMIT');
    } finally {
      await client.end();
    }
  }),
];

/** Repeats it if it is the victim of a deadlock with the product, which would leave no fault. */
async function lockTables(client: Client): Promise<void> {
  for (;;) {
    try {
      await client.query('BEGIN');
      await client.query('LOCK TABLE events, event_outbox, deliveries IN ACCESS EXCLUSIVE MODE');
      return;
    } catch (error) {
      await client.query('ROLLBACK');
      if ((error as { code?: string }).code !== DEADLOCK) throw error;
    }
  }
}

/** Several times as long as other store faults. */
async function repeat(act: () => Promise<unknown>): Promise<void> {
  for (let n = 0; n < AWAY_MS / EVERY_MS; n++) {
    await act();
    await delay(EVERY_MS);
  }
}

async function commandRedis(
  site: Site,
  command: (redis: Redis) => Promise<unknown>,
): Promise<void> {
  const redis = new Redis(site.redis.url, { maxRetriesPerRequest: 3 });
  redis.on('error', () => undefined);
  try {
    await command(redis);
  } finally {
    redis.disconnect();
  }
}

/** Other clients take every connection as soon as it is free. */
async function outOfConnections({ site }: Scene): Promise<void> {
  const taken: Client[] = [];
  // Before no connection is left for the test.
  await site.query('SELECT 1');
  const until = performance.now() + AWAY_MS;
  while (performance.now() < until) {
    await site.query(
      `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'tidings'`,
    );
    const client = await site.postgres.connect('tidings').catch(() => undefined);
    if (client) taken.push(client);
    else await delay(20);
  }
  await Promise.all(taken.map((client) => client.end().catch(() => undefined)));
}

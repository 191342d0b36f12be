import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream';
import { createServer } from 'node:tls';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, it, type TestContext } from 'vitest';
import { TEST_CERT, TEST_KEY } from '../support/certificate.js';
import { eventually } from '../support/eventually.js';
import { Ledger } from '../support/ledger.js';
import { ProductProcess } from '../support/product-process.js';
import { RedisEndpoint } from '../support/redis-endpoint.js';
import { startRedisServer } from '../support/stores.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { environment, World } from '../support/world.js';

/** The certificate of the tests, as a file. */
const CA = join(mkdtempSync(join(tmpdir(), 'tidings-ca-')), 'ca.pem');
beforeAll(() => writeFileSync(CA, TEST_CERT));
afterAll(() => rmSync(dirname(CA), { recursive: true }));

const PASSWORD = 'the-first-password';
const USER = `u:${PASSWORD}@`;
/** Long enough that an event which arrives sooner came through the queue. */
const TIMINGS = { handoverGraceMs: 10_000 };
const SOON_MS = 3_000;

/** A publisher and a worker, and between them a Redis that may be broken in any way. */
class Site {
  private constructor(
    readonly api: ProductProcess,
    readonly worker: ProductProcess,
    readonly receiver: WebhookReceiver,
    readonly between: RedisEndpoint,
    readonly admin: Redis,
  ) {}

  /** @param broken what is done to Redis before the processes start; by default nothing */
  static async of(
    context: TestContext,
    broken: (between: RedisEndpoint, admin: Redis) => unknown = () => undefined,
    overTls = false,
  ): Promise<Site> {
    const { onTestFinished } = context;
    const redis = await startRedisServer();
    onTestFinished(() => redis.stop());
    const admin = new Redis(redis.url);
    onTestFinished(() => admin.disconnect());
    await setUser(admin, 'reset', 'on', `>${PASSWORD}`, '~*', '&*', '+@all');
    const between = await RedisEndpoint.to(
      overTls ? await tlsBefore(redis.port, context) : redis.port,
    );
    onTestFinished(() => between.close());
    const world = await World.create();
    onTestFinished(() => world.stop());
    await broken(between, admin);
    const start = async (roles: string) => {
      const env = {
        ...(overTls
          ? { REDIS_URL: `rediss://${USER}localhost:${between.port}`, NODE_EXTRA_CA_CERTS: CA }
          : { REDIS_URL: between.url(USER) }),
        ROLES: roles,
        LOG_LEVEL: 'log',
      };
      const started = ProductProcess.spawn(environment(world.database, env), { timings: TIMINGS });
      onTestFinished(() => started.end('SIGKILL').then(() => undefined));
      await started.listening();
      return started;
    };
    const [api, worker] = await Promise.all([start('api'), start('worker,realtime')]);
    const receiver = await world.receiver();
    await api.api.webhook(receiver.url(), ['*']);
    return new Site(api, worker, receiver, between, admin);
  }

  /** Publishes until an event arrives through the queue: what is published meanwhile arrives later. */
  async expectPrompt(ledger: Ledger): Promise<void> {
    await eventually(async () => {
      const { id } = await this.api.api.publish({ type: 'is.it.back' });
      ledger.acknowledged.add(id);
      const arrived = () => this.receiver.requests.map(({ json }) => json.id);
      await eventually(() => expect(arrived()).toContain(id), SOON_MS);
    }, 30_000);
    await eventually(async () => {
      for (const each of [this.api, this.worker]) {
        expect(await each.api.get('//health/ready')).toMatchObject({ status: 'ok' });
      }
    });
  }

  /** While Redis is broken: events are accepted, and the processes say that they are slower. */
  async expectDegraded(ledger: Ledger): Promise<void> {
    for (const each of [this.api, this.worker]) {
      await eventually(async () => {
        await ledger.publish(this.api.api);
        const { status, body } = await each.api.request('GET', '//health/ready');
        expect([status, body['status']]).toEqual([200, 'degraded']);
      });
    }
    expect(ledger.refusals).toEqual([]);
  }

  async expectOrderlyEnd(): Promise<void> {
    for (const each of [this.api, this.worker]) {
      expect(await each.end()).toEqual({ code: 0, signal: null });
      expect(each.output).not.toMatch(/unhandled|uncaught|TypeError|MaxListeners/i);
      expect(each.output).not.toContain(PASSWORD);
    }
  }
}

/** A port that speaks TLS and forwards to Redis. */
async function tlsBefore(redisPort: number, { onTestFinished }: TestContext): Promise<number> {
  const server = createServer({ key: TEST_KEY, cert: TEST_CERT }, (client) => {
    const redis = connect(redisPort, '127.0.0.1');
    pipeline(client, redis, client, () => undefined);
  });
  server.on('tlsClientError', () => undefined);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

const setUser = (admin: Redis, ...rules: string[]) => admin.call('ACL', 'SETUSER', 'u', ...rules);

// They wait for time-outs, side by side.
describe.concurrent('a Redis', { timeout: 120_000 }, () => {
  it('that accepts and closes for a while does not matter afterwards', async (context) => {
    const site = await Site.of(context, (between) =>
      between.behave({ kind: 'close', afterRequestBytes: 1 }),
    );
    const ledger = new Ledger('cut');
    await site.expectDegraded(ledger);
    site.between.behave({ kind: 'forward' });
    await site.expectPrompt(ledger);
    site.between.behave({ kind: 'close', afterRequestBytes: 1 });
    await site.expectDegraded(ledger);
    site.between.behave({ kind: 'forward' });
    await site.expectPrompt(ledger);
    await ledger.expectAllAt(site.receiver);
    await site.expectOrderlyEnd();
  });

  it('whose password changes ends no process, and is in no log', async (context) => {
    const site = await Site.of(context);
    const ledger = new Ledger('password');
    await site.expectPrompt(ledger);
    await setUser(site.admin, 'resetpass', '>another');
    await site.admin.call('CLIENT', 'KILL', 'USER', 'u');
    await site.expectDegraded(ledger);
    await setUser(site.admin, `>${PASSWORD}`);
    await site.expectPrompt(ledger);
    await ledger.expectAllAt(site.receiver);
    await site.expectOrderlyEnd();
  });

  it('that refuses the user from the start on, and then only channels, ends no process', async (context) => {
    const site = await Site.of(context, (_, admin) => setUser(admin, 'off'));
    const ledger = new Ledger('user');
    await site.expectDegraded(ledger);
    await setUser(site.admin, 'on', 'resetchannels');
    await site.expectDegraded(ledger);
    await setUser(site.admin, '&*');
    await site.expectPrompt(ledger);
    await setUser(site.admin, 'resetchannels');
    await site.expectDegraded(ledger);
    await ledger.expectAllAt(site.receiver);
    await site.expectOrderlyEnd();
  });

  it('over TLS that stops in the handshake does not matter afterwards', async (context) => {
    const site = await Site.of(context, (between) => between.behave({ kind: 'silence' }), true);
    const ledger = new Ledger('tls');
    await site.expectDegraded(ledger);
    site.between.behave({ kind: 'forward' });
    await site.expectPrompt(ledger);
    site.between.behave({ kind: 'cut', afterAnswerBytes: 1_200 });
    await site.expectDegraded(ledger);
    site.between.behave({ kind: 'forward' });
    await site.expectPrompt(ledger);
    await ledger.expectAllAt(site.receiver);
    await site.expectOrderlyEnd();
  });
});

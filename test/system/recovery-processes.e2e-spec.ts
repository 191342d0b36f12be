import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { describe, expect, it, type TestContext } from 'vitest';
import type { Json } from '../support/api-client.js';
import { eventually } from '../support/eventually.js';
import { Ledger } from '../support/ledger.js';
import { waitingForLocks } from '../support/locks.js';
import { type ProductOptions, ProductProcess } from '../support/product-process.js';
import { SocketClient } from '../support/socket-client.js';
import { tokenFor } from '../support/tokens.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { environment, World } from '../support/world.js';

/** Leases outlast the timeout of attempts: what a dead worker leased is due some seconds later. */
const SHORT = { DELIVERY_TIMEOUT_MS: '1000' };
const BEYOND_A_LEASE_MS = 60_000;

/** A database and a receiver, with processes that are ended with it. */
class Site {
  private readonly processes: ProductProcess[] = [];

  private constructor(
    readonly world: World,
    readonly receiver: WebhookReceiver,
  ) {}

  /** One of its own for a test, which takes it down at its end. */
  static async of({ onTestFinished }: TestContext): Promise<Site> {
    const world = await World.create();
    const site = new Site(world, await world.receiver());
    onTestFinished(() => site.stop());
    return site;
  }

  async start(env: NodeJS.ProcessEnv = {}, options: ProductOptions = {}): Promise<ProductProcess> {
    const product = await ProductProcess.start(
      environment(this.world.database, { ...SHORT, ...env, LOG_LEVEL: 'log' }),
      options,
    );
    this.processes.push(product);
    return product;
  }

  /** Waits until so many attempts are marked as in flight, or were interrupted. */
  async attemptsAreMarked(count: number): Promise<void> {
    const client = new Client({ connectionString: this.world.database.url });
    await client.connect();
    try {
      await eventually(async () => {
        const { rows } = await client.query('SELECT 1 FROM delivery_attempts');
        expect(rows.length).toBeGreaterThanOrEqual(count);
      }, BEYOND_A_LEASE_MS);
    } finally {
      await client.end();
    }
  }

  /** The one delivery of an event, once it is in this state. */
  delivery({ api }: ProductProcess, eventId: string, status: string): Promise<Json> {
    return eventually(async () => {
      const [found] = (await api.get(`/events/${eventId}/deliveries`)).data;
      expect(found?.status).toBe(status);
      return api.get(`/deliveries/${found!.id}`);
    }, BEYOND_A_LEASE_MS);
  }

  async stop(): Promise<void> {
    await Promise.all(this.processes.map((product) => product.end('SIGKILL')));
    await this.world.stop();
  }
}

// They wait for leases to end, side by side.
describe.concurrent('a process that crashes', { timeout: 120_000 }, () => {
  it('in the middle of an attempt: another process repeats it, with the same id', async (context) => {
    const site = await Site.of(context);
    const { receiver } = site;
    receiver.reply(() => undefined, 200);
    // On a busy machine it may be in flight for long enough to be marked, and counted.
    const victim = await site.start({}, { timings: { attemptMarkMs: 60_000 } });
    await victim.api.webhook(receiver.url(), ['crashed.*'], { retryPolicy: { schedule: [] } });
    const { id } = await victim.api.publish({ type: 'crashed.one' });
    await receiver.expectRequests(1);
    await victim.end('SIGKILL');
    const successor = await site.start();
    const { attempts } = await site.delivery(successor, id, 'success');
    expect(receiver.requests.map((r) => r.json.id)).toEqual([id, id]);
    expect(receiver.requests[1]!.body).toBe(receiver.requests[0]!.body);
    expect(receiver.requests[1]!.headers['tidings-delivery-id']).toBe(
      receiver.requests[0]!.headers['tidings-delivery-id'],
    );
    expect(attempts).toMatchObject([{ number: 1, statusCode: 200 }]);
  });

  it('under load: everything that it acknowledged is received', async (context) => {
    const site = await Site.of(context);
    const ledger = new Ledger('load.killed');
    const victim = await site.start();
    await victim.api.webhook(site.receiver.url(), ['load.*']);
    ledger.startLoad(victim.api, 8);
    await ledger.reaches(400);
    await victim.end('SIGKILL');
    await ledger.stopLoad();
    await site.start();
    await ledger.expectAllAt(site.receiver, BEYOND_A_LEASE_MS);
    // At most what was in flight then: it was received, and the outcome was not written.
    expect(ledger.duplicatesAt(site.receiver).length).toBeLessThanOrEqual(100);
  });

  it('only seems to: one that resumes after its lease changes nothing', async (context) => {
    const site = await Site.of(context);
    const { receiver } = site;
    const stopped = await site.start();
    const webhook = await stopped.api.webhook(receiver.url(), ['stopped.*'], {
      retryPolicy: { schedule: [1_000, 1_000, 1_000] },
    });
    let isStopped = false;
    // The answer arrives while it is stopped: it would write a failure, and a retry.
    receiver.reply(
      (response) => {
        stopped.kill('SIGSTOP');
        isStopped = true;
        response.writeHead(500).end('to the stopped one');
      },
      { status: 200, body: 'to the successor' },
    );
    const { id } = await stopped.api.publish({ type: 'stopped.on' });
    await eventually(() => expect(isStopped).toBe(true));
    const successor = await site.start();
    const delivered = await site.delivery(successor, id, 'success');
    stopped.kill('SIGCONT');
    // The control: it runs again and has recorded its late attempt.
    const resumed = await eventually(async () => {
      const found = await successor.api.get(`/deliveries/${delivered.id}`);
      expect(found.attempts).toHaveLength(2);
      // It was taken for interrupted until then.
      expect(found.attempts[0]!.error).not.toBe('interrupted');
      return found;
    });
    expect(resumed).toEqual({ ...delivered, attempts: resumed.attempts });
    expect(resumed.attempts.map((a) => a.responseBody)).toEqual([
      'to the stopped one',
      'to the successor',
    ]);
    expect(await stopped.api.get(`/webhooks/${webhook.id}`)).toMatchObject({ active: true });
    expect(receiver.requests.map((r) => r.json.id)).toEqual([id, id]);
  });
});

const hold = (): void => undefined;

describe.concurrent('processes that crash again and again', { timeout: 180_000 }, () => {
  it('while a slow receiver has their requests: no other one waits for it', async (context) => {
    const site = await Site.of(context);
    const [slow, quick] = [site.receiver, await site.world.receiver()];
    for (const receiver of [slow, quick]) receiver.reply(hold);
    let victim = await site.start();
    const patient = { timeoutMs: 3_000 };
    await victim.api.webhook(slow.url(), ['crashes.slow'], patient);
    await victim.api.webhook(quick.url(), ['crashes.quick'], patient);
    const events = Array.from({ length: 200 }, (_, n) => ({
      type: n % 2 === 0 ? 'crashes.slow' : 'crashes.quick',
      data: { n },
    }));
    await victim.api.post('/events/batch', { events }, 202);
    for (const requests of [10, 20]) {
      for (const receiver of [slow, quick]) {
        await eventually(
          () => expect(receiver.requests.length).toBeGreaterThanOrEqual(requests),
          BEYOND_A_LEASE_MS,
        );
      }
      await victim.end('SIGKILL');
      victim = await site.start();
    }
    slow.reply((response) => void setTimeout(() => response.end(), 2_000));
    quick.reply(200);
    const before = quick.requests.length;
    const arrived = () => new Set(quick.requests.slice(before).map(({ json }) => json.id));
    await eventually(() => expect(arrived().size).toBe(100), BEYOND_A_LEASE_MS);
  });

  it('during the same attempts: each is counted, and none makes a dead letter', async (context) => {
    const site = await Site.of(context);
    const receiver = site.receiver.reply(hold);
    const paths = ['/free', '/ordered', '/batch'];
    let process = await site.start();
    for (const [path, policy] of Object.entries({
      '/free': {},
      '/ordered': { ordering: 'fifo' },
      '/batch': { batch: { maxEvents: 2, maxWaitMs: 0 } },
    })) {
      const settings = { ...policy, retryPolicy: { schedule: [] } };
      await process.api.webhook(receiver.url(path), ['crashes.*'], settings);
    }
    const { id } = await process.api.publish({ type: 'crashes.always' });
    const crashes = 4;
    for (let crash = 1; crash <= crashes; crash++) {
      for (const path of paths) {
        await eventually(() => expect(receiver.of(path)).toHaveLength(crash), BEYOND_A_LEASE_MS);
      }
      await site.attemptsAreMarked(paths.length * crash);
      await process.end('SIGKILL');
      if (crash === crashes) receiver.reply(200);
      process = await site.start();
    }
    const deliveries = await eventually(async () => {
      const { data } = await process.api.get(`/events/${id}/deliveries`);
      expect(data.map(({ status }) => status)).toEqual(paths.map(() => 'success'));
      return data;
    }, BEYOND_A_LEASE_MS);
    for (const delivery of deliveries) {
      const { attemptCount, attempts } = await process.api.get(`/deliveries/${delivery.id}`);
      expect(attemptCount).toBe(crashes + 1);
      expect(attempts.map(({ number, error }) => [number, error])).toEqual([
        ...Array.from({ length: crashes }, (_, n) => [n + 1, 'interrupted']),
        [crashes + 1, null],
      ]);
    }
    const numbers = receiver.of('/free').map(({ headers }) => headers['tidings-attempt']);
    expect(numbers).toEqual(['1', '2', '3', '4', '5']);
  });
});

describe.concurrent('a process that gets SIGTERM', { timeout: 120_000 }, () => {
  it('under load ends with 0, loses nothing, sends nothing twice, and notifies its connections', async (context) => {
    const site = await Site.of(context);
    const ledger = new Ledger('load.drained');
    // On a busy machine an answer may take a second; a timeout would be a second request of its own.
    const longTimeout = { DELIVERY_TIMEOUT_MS: '20000' };
    const product = await site.start(longTimeout);
    await product.api.webhook(site.receiver.url(), ['load.*']);
    site.receiver.reply((response) => void setTimeout(() => response.end(), 50));
    const socket = await SocketClient.connect(product.baseUrl, {
      auth: { token: tokenFor('listener') },
    });
    ledger.startLoad(product.api, 8);
    await ledger.reaches(300);
    expect(await product.end('SIGTERM')).toEqual({ code: 0, signal: null });
    expect((await socket.next('draining'))['reconnectInMs']).toBeGreaterThanOrEqual(0);
    await ledger.stopLoad();
    await site.start(longTimeout);
    await ledger.expectAllAt(site.receiver);
    expect(ledger.duplicatesAt(site.receiver)).toEqual([]);
    expect(new Set(ledger.refusals.filter((status) => status !== 0))).toEqual(new Set());
  });

  it('is not ready at once, answers for a while, closes its port, and then ends its attempts', async (context) => {
    const site = await Site.of(context);
    const { receiver } = site;
    // Far longer than a busy machine needs for the requests below.
    const timings = { shutdownDelayMs: 4_000, drainMs: 60_000 };
    const product = await site.start({ DELIVERY_TIMEOUT_MS: '60000' }, { timings });
    let answer: () => void = () => undefined;
    receiver.reply((response) => (answer = () => response.end('at last')), 200);
    await product.api.webhook(receiver.url(), ['order.*']);
    const { id } = await product.api.publish({ type: 'order.first' });
    await receiver.expectRequests(1);
    product.kill('SIGTERM');
    await eventually(async () => {
      const { status, body } = await product.api.request('GET', '//health/ready');
      expect([status, body['status']]).toEqual([503, 'shutting_down']);
    });
    const later = await product.api.publish({ type: 'order.later' });
    expect(await product.api.get('//health/live')).toEqual({ status: 'ok' });
    await eventually(() => expect(fetch(product.baseUrl)).rejects.toThrow('fetch failed'));
    answer();
    expect(await product.exited).toEqual({ code: 0, signal: null });
    const successor = await site.start();
    const { attempts } = await site.delivery(successor, id, 'success');
    expect(attempts).toMatchObject([{ number: 1, statusCode: 200, responseBody: 'at last' }]);
    await site.delivery(successor, later.id, 'success');
  });

  it('ends at once when it is a worker, which no router sends requests to', async (context) => {
    const site = await Site.of(context);
    const timings = { shutdownDelayMs: 600_000 };
    const product = await site.start({ ROLES: 'worker' }, { timings });
    expect(await product.end('SIGTERM')).toEqual({ code: 0, signal: null });
  });

  it('does not stop in time, and ends with 1', async (context) => {
    const site = await Site.of(context);
    const timings = { shutdownDelayMs: 600_000, shutdownMaxMs: 500 };
    const product = await site.start({}, { timings });
    expect(await product.end('SIGTERM')).toEqual({ code: 1, signal: null });
    expect(product.output).toContain('not stopped within 500 ms');
  });

  it('answers the requests that wait for an answer', async (context) => {
    const site = await Site.of(context);
    const product = await site.start();
    const { id } = await product.api.webhook(site.receiver.url(), ['late.*']);
    const source = await new DataSource({
      type: 'postgres',
      url: site.world.database.url,
    }).initialize();
    let changed: Promise<Json> | undefined;
    await source.transaction(async (tx) => {
      await tx.query('SELECT 1 FROM webhooks WHERE id = $1 FOR UPDATE', [id]);
      changed = product.api.patch(`/webhooks/${id}`, { name: 'late' });
      await eventually(async () => expect(await waitingForLocks(source)).toBe(1));
      product.kill('SIGTERM');
      // It accepts no connection, and still answers.
      await eventually(() => expect(fetch(product.baseUrl)).rejects.toThrow('fetch failed'));
    });
    await source.destroy();
    expect(await changed).toMatchObject({ name: 'late' });
    expect(await product.exited).toEqual({ code: 0, signal: null });
    expect(product.output).not.toContain('ERROR');
  });

  it('lets the attempts in flight end, and records them', async (context) => {
    const site = await Site.of(context);
    const { receiver } = site;
    const product = await site.start({ DELIVERY_TIMEOUT_MS: '20000' });
    let answer: () => void = () => undefined;
    receiver.reply((response) => (answer = () => response.end('at last')), 200);
    await product.api.webhook(receiver.url(), ['flight.*']);
    const { id } = await product.api.publish({ type: 'flight.last' });
    await receiver.expectRequests(1);
    product.kill('SIGTERM');
    await eventually(() => expect(product.output).toContain('SIGTERM'));
    answer();
    expect(await product.exited).toEqual({ code: 0, signal: null });
    const { attempts } = await site.delivery(await site.start(), id, 'success');
    expect(attempts).toMatchObject([{ number: 1, statusCode: 200, responseBody: 'at last' }]);
    expect(receiver.requests).toHaveLength(1);
  });

  it('counts the attempts that do not end in time, and lets another process repeat them at once', async (context) => {
    const site = await Site.of(context);
    const { receiver } = site;
    // Its lease would last for a minute.
    const env = { DELIVERY_TIMEOUT_MS: '60000' };
    const product = await site.start(env, { timings: { drainMs: 300 } });
    receiver.reply(hold, 200);
    await product.api.webhook(receiver.url(), ['cut.*'], { retryPolicy: { schedule: [] } });
    const { id } = await product.api.publish({ type: 'cut.off' });
    await receiver.expectRequests(1);
    expect(await product.end('SIGTERM')).toEqual({ code: 0, signal: null });
    const { attempts } = await site.delivery(await site.start(env), id, 'success');
    expect(attempts).toMatchObject([
      { number: 1, error: 'interrupted' },
      { number: 2, statusCode: 200 },
    ]);
  });

  it('releases what it did not start, so that another process need not wait for a lease', async (context) => {
    const site = await Site.of(context);
    const { receiver } = site;
    const env = { DELIVERY_MAX_PER_WEBHOOK: '1', DELIVERY_TIMEOUT_MS: '60000' };
    const [leaving, staying] = [
      await site.start(env),
      await site.start({ ...env, ROLES: 'worker' }),
    ];
    let answer: () => void = () => undefined;
    receiver.reply((response) => (answer = () => response.end()), 200);
    await leaving.api.webhook(receiver.url(), ['released.*']);
    const events = Array.from({ length: 20 }, (_, n) => ({ type: 'released.one', data: { n } }));
    const { ids } = await leaving.api.post('/events/batch', { events }, 202);
    await receiver.expectRequests(1);
    leaving.kill('SIGTERM');
    await eventually(() => expect(leaving.output).toContain('SIGTERM'));
    answer();
    expect(await leaving.exited).toEqual({ code: 0, signal: null });
    await receiver.expectRequests(20);
    expect(receiver.requests.map((r) => r.json.id).sort()).toEqual([...ids].sort());
    await staying.end();
  });
});

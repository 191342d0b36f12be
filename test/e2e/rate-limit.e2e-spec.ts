import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { NodeRegistry } from '../../src/cluster/node-registry.service.js';
import { eventually } from '../support/eventually.js';
import { startTwoUntilTestEnds, startUntilTestEnds } from '../support/short-lived.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { forNewOwner, type RunningApp, World } from '../support/world.js';

let world: World;
let receiver: WebhookReceiver;
let shared: RunningApp;
let owner: string;
let app: RunningApp;

beforeAll(async () => {
  world = await World.create();
  shared = await world.start();
});
afterAll(() => world.stop());
beforeEach(async () => {
  receiver = await world.receiver();
  owner = `owner-${randomUUID()}`;
  app = forNewOwner(shared, owner);
});

/** A second process, until the test ends. */
const startAnother = async (): Promise<RunningApp> =>
  forNewOwner(await startUntilTestEnds(world), owner);

/** Most of these arrivals that lie within one window. */
function densest(arrivals: readonly number[], windowMs: number): number {
  return Math.max(
    ...arrivals.map((from) => arrivals.filter((at) => at >= from && at < from + windowMs).length),
  );
}

const batch = ({ api }: RunningApp, count: number, type: string) =>
  api.post(
    '/events/batch',
    { events: Array.from({ length: count }, (_, n) => ({ type, data: { n } })) },
    202,
  );

describe('a webhook with a rate limit', () => {
  it('never gets more in any window, from two processes together, retries included', async () => {
    const apps = [app, await startAnother()];
    const rateLimit = { max: 5, perMs: 400 };
    let count = 0;
    receiver.reply((response) => {
      count++;
      response.writeHead(count % 6 === 0 ? 500 : 200).end();
    });
    await apps[0]!.api.webhook(receiver.url(), ['rate.*'], { rateLimit });
    const answers = await Promise.all(apps.map((app) => batch(app, 15, 'rate.event')));
    const ids = answers.flatMap((answer) => answer.ids);
    await eventually(() => {
      expect(new Set(receiver.requests.map(({ json }) => json.id))).toEqual(new Set(ids));
    });
    const arrivals = receiver.requests.map(({ at }) => at);
    expect(densest(arrivals, rateLimit.perMs)).toBeLessThanOrEqual(rateLimit.max);
    // The whole limit is used: the burst is sent at once.
    expect(densest(arrivals, rateLimit.perMs)).toBe(rateLimit.max);
  });

  it('keeps its limit when the process that serves it ends', async () => {
    const [leaver, stayer] = await startTwoUntilTestEnds();
    const rateLimit = { max: 4, perMs: 1_500 };
    await stayer.api.webhook(receiver.url(), ['rate.*'], { rateLimit });
    await batch(stayer, 10, 'rate.event');
    await eventually(() => expect(receiver.requests.length).toBeGreaterThanOrEqual(4));
    await leaver.app.close();
    await receiver.expectRequests(10);
    const arrivals = receiver.requests.map(({ at }) => at);
    expect(densest(arrivals, rateLimit.perMs)).toBeLessThanOrEqual(rateLimit.max);
  });

  it('does not delay other webhooks', async () => {
    const rateLimit = { max: 1, perMs: 60_000 };
    await app.api.webhook(receiver.url('/limited'), ['rate.*'], { rateLimit });
    await app.api.webhook(receiver.url('/free'), ['rate.*']);
    await batch(app, 50, 'rate.event');
    await receiver.expectRequests(50, '/free');
    await receiver.expectRequests(1, '/limited');
  });
});

describe('the requests at once to a webhook', () => {
  let most: number;

  beforeEach(() => {
    let inFlight = 0;
    most = 0;
    receiver.reply((response) => {
      most = Math.max(most, ++inFlight);
      setTimeout(() => {
        inFlight--;
        response.end();
      }, 30);
    });
  });

  it('are never more than its maxConcurrency, over two processes', async () => {
    const apps = [app, await startAnother()];
    await apps[0]!.api.webhook(receiver.url(), ['few.*'], { maxConcurrency: 3 });
    await Promise.all(apps.map((each) => batch(each, 30, 'few.event')));
    await receiver.expectRequests(60);
    expect(most).toBe(3);
  });

  it('are shared by the workers where it does not say', async () => {
    const apart = await World.create();
    onTestFinished(() => apart.stop());
    const settings = { DELIVERY_MAX_PER_WEBHOOK: '7' };
    const apps = [await apart.start(settings), await apart.start(settings)];
    await eventually(() => {
      for (const each of apps) expect(each.app.get(NodeRegistry).aliveCount('worker')).toBe(2);
    });
    await apps[0]!.api.webhook(receiver.url(), ['few.*']);
    await Promise.all(apps.map((each) => batch(each, 40, 'few.event')));
    await receiver.expectRequests(80);
    expect(most).toBeGreaterThan(1);
    expect(most).toBeLessThanOrEqual(7);
  });
});

describe('the settings', () => {
  it('are shown, changed one by one, and removed with null', async () => {
    const { api } = app;
    const policy = {
      rateLimit: { max: 10, perMs: 1_000 },
      maxConcurrency: 4,
      batch: { maxEvents: 10, maxWaitMs: 500 },
    };
    const created = await api.webhook(receiver.url(), ['a.b'], policy);
    expect(created).toMatchObject({ ...policy, ordering: 'none' });
    const path = `/webhooks/${created.id}`;
    await api.patch(path, { rateLimit: null, maxConcurrency: null });
    expect(await api.patch(path, { ordering: 'fifo' })).toMatchObject({
      rateLimit: null,
      maxConcurrency: null,
      ordering: 'fifo',
      batch: policy.batch,
    });
    expect(await api.patch(path, { ordering: null, batch: null })).toMatchObject({
      ordering: 'none',
      batch: null,
    });
  });

  it('are refused with the field named when they make no sense, alone or together', async () => {
    const { api } = app;
    const { id } = await api.webhook(receiver.url(), ['a.b'], { ordering: 'fifo' });
    const refused: [object, string][] = [
      [{ rateLimit: { max: 0, perMs: 1_000 } }, 'rateLimit.max'],
      [{ rateLimit: { max: 1, perMs: 86_400_001 } }, 'rateLimit.perMs'],
      [{ rateLimit: { max: 1 } }, 'rateLimit.perMs'],
      [{ rateLimit: 5 }, 'rateLimit'],
      [{ maxConcurrency: 101 }, 'maxConcurrency'],
      [{ maxConcurrency: 1.5 }, 'maxConcurrency'],
      [{ ordering: 'lifo' }, 'ordering'],
      [{ batch: { maxEvents: 1, maxWaitMs: 0 } }, 'batch.maxEvents'],
      [{ batch: { maxEvents: 2, maxWaitMs: 60_001 } }, 'batch.maxWaitMs'],
      [{ maxConcurrency: 2 }, 'maxConcurrency'],
    ];
    for (const [change, field] of refused) {
      const { status, body } = await api.request('PATCH', `/webhooks/${id}`, change);
      expect([status, body.errors.map((error) => error.field)]).toEqual([422, [field]]);
    }
    expect(await api.get(`/webhooks/${id}`)).toMatchObject({
      ordering: 'fifo',
      maxConcurrency: null,
      rateLimit: null,
      batch: null,
    });
  });
});

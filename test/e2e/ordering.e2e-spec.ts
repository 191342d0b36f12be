import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
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

const FIFO = { ordering: 'fifo', retryPolicy: { schedule: [50, 50, 50] } };

/** One after the other, so that there is an order to keep; through several processes in turn. */
async function publish(apps: readonly RunningApp[], count: number, type = 'fifo.step') {
  const ids: string[] = [];
  for (let n = 0; n < count; n++) {
    const { id } = await apps[n % apps.length]!.api.publish({ type, data: { n } });
    ids.push(id);
  }
  return ids;
}

const idsAt = (path?: string): string[] =>
  (path === undefined ? receiver.requests : receiver.of(path)).map(({ json }) => json.id);

/** The ids in the order of their first arrival. */
const firstArrivals = (): string[] => [...new Set(idsAt())];

describe('a webhook with ordering fifo', () => {
  it('gets its events in the order of publishing, one at a time', async () => {
    let inFlight = 0;
    let most = 0;
    receiver.reply((response) => {
      most = Math.max(most, ++inFlight);
      setTimeout(() => {
        inFlight--;
        response.end();
      }, 2);
    });
    await app.api.webhook(receiver.url(), ['fifo.*'], FIFO);
    const ids = await publish([app], 60);
    await receiver.expectRequests(60);
    expect(idsAt()).toEqual(ids);
    expect(most).toBe(1);
  });

  it('keeps the order of a batch, whatever the priorities in it', async () => {
    await app.api.webhook(receiver.url(), ['fifo.*'], FIFO);
    const priorities = ['low', 'high', 'normal'];
    const events = Array.from({ length: 100 }, (_, n) => ({
      type: 'fifo.step',
      data: { n },
      priority: priorities[n % 3],
    }));
    const { ids } = await app.api.post('/events/batch', { events }, 202);
    await receiver.expectRequests(100);
    expect(idsAt()).toEqual(ids);
  });

  it('gets nothing behind a failed delivery until that one succeeds', async () => {
    receiver.reply(200, 500, 503, 200);
    await app.api.webhook(receiver.url(), ['fifo.*'], FIFO);
    const [a, b, c, d] = await publish([app], 4);
    await receiver.expectRequests(6);
    expect(idsAt()).toEqual([a, b, b, b, c, d]);
  });

  it('gets the deliveries behind a dead letter, and that one when it is redriven', async () => {
    receiver.reply(500, 500, 200);
    await app.api.webhook(receiver.url(), ['fifo.*'], {
      ...FIFO,
      retryPolicy: { schedule: [30] },
    });
    const [a, b] = await publish([app], 2);
    await receiver.expectRequests(3);
    expect(idsAt()).toEqual([a, a, b]);
    const dead = await eventually(async () => {
      const { data } = await app.api.get('/dead-letters');
      expect(data).toHaveLength(1);
      return data[0]!;
    });
    await app.api.post(`/dead-letters/${dead.id}/redrive`, {}, 202);
    await receiver.expectRequests(4);
    expect(idsAt()).toEqual([a, a, b, a]);
  });

  it('keeps the order over several processes, with failures in between', async () => {
    const apps = [app, await startAnother()];
    let count = 0;
    receiver.reply((response) => {
      count++;
      response.writeHead(count % 7 === 0 ? 500 : 200).end();
    });
    await apps[0]!.api.webhook(receiver.url(), ['fifo.*'], FIFO);
    const ids = await publish(apps, 60);
    await eventually(() => expect(firstArrivals()).toHaveLength(60));
    expect(firstArrivals()).toEqual(ids);
  });

  it('keeps the order when the process that serves it ends, and loses nothing', async () => {
    const [leaver, stayer] = await startTwoUntilTestEnds();
    await stayer.api.webhook(receiver.url(), ['fifo.*'], FIFO);
    const before = await publish([leaver, stayer], 20);
    const closing = leaver.app.close();
    const after = await publish([stayer], 20);
    await closing;
    await eventually(() => expect(firstArrivals()).toHaveLength(40));
    expect(firstArrivals()).toEqual([...before, ...after]);
  });

  it('does not delay a webhook beside it that has no order', async () => {
    receiver.reply((response, { path }) => {
      response.writeHead(path === '/fifo' ? 500 : 200).end();
    });
    const slow = { ...FIFO, retryPolicy: { schedule: [60_000] } };
    await app.api.webhook(receiver.url('/fifo'), ['fifo.*'], slow);
    await app.api.webhook(receiver.url('/free'), ['fifo.*']);
    await publish([app], 10);
    await receiver.expectRequests(10, '/free');
    await receiver.expectRequests(1, '/fifo');
  });

  it('gets events of callers’ own transactions in order, too', async () => {
    await app.api.webhook(receiver.url(), ['fifo.*'], FIFO);
    const { EventsService } = await import('../../src/events/events.service.js');
    const { DataSource } = await import('typeorm');
    const events = app.app.get(EventsService);
    const ids: string[] = [];
    for (let n = 0; n < 30; n++) {
      if (n % 3 === 0) {
        await app.app.get(DataSource).transaction(async (manager) => {
          ids.push(
            (await events.publish({ type: 'fifo.step', ownerId: owner, data: { n } }, { manager }))
              .id,
          );
        });
      } else {
        ids.push((await app.api.publish({ type: 'fifo.step', data: { n } })).id);
      }
    }
    await receiver.expectRequests(30);
    expect(idsAt()).toEqual(ids);
  });
});

/** More than are read at once: the rest has to count as unknown. */
const MANY = 1_500;

describe('a webhook with an order, behind very many events that are not dispatched yet', () => {
  it.each<[string, object]>([
    ['one by one', {}],
    ['at a rate', { rateLimit: { max: 50, perMs: 100 } }],
    ['in batches', { batch: { maxEvents: 5, maxWaitMs: 0 } }],
  ])(
    '%s gets those of a transaction before those that were published after it',
    async (_, more) => {
      const { EventsService } = await import('../../src/events/events.service.js');
      const { DataSource } = await import('typeorm');
      await app.api.webhook(receiver.url(), ['fifo.*'], { ...FIFO, ...more });
      const events = app.app.get(EventsService);
      const expected: string[] = [];
      for (let round = 0; round < 3; round++) {
        await app.app.get(DataSource).transaction(async (manager) => {
          const other = { type: 'others.event', ownerId: owner, data: null };
          for (let left = MANY; left > 0; left -= 500) {
            const batch = Array.from({ length: Math.min(left, 500) }, () => other);
            await events.publishBatch(batch, { manager });
          }
          const mine = { type: 'fifo.step', ownerId: owner, data: { in: 'transaction' } };
          expected.push((await events.publish(mine, { manager })).id);
        });
        expected.push(...(await publish([app], 1)));
      }
      const received = () =>
        receiver.requests.flatMap(({ body }) => [JSON.parse(body) as { id: string }].flat());
      await eventually(() => expect(received()).toHaveLength(expected.length));
      expect(received().map(({ id }) => id)).toEqual(expected);
    },
  );
});

describe('an order that is switched on and off under load', () => {
  it('loses no delivery and leaves none unsent', async () => {
    const apps = [app, await startAnother()];
    const { api } = apps[0]!;
    let count = 0;
    receiver.reply((response) => {
      count++;
      response.writeHead(count % 11 === 0 ? 500 : 200).end();
    });
    const webhook = await api.webhook(receiver.url(), ['fifo.*'], {
      retryPolicy: { schedule: [20, 20, 20, 20, 20, 20, 20, 20] },
    });
    const ids: string[] = [];
    for (let round = 0; round < 8; round++) {
      const ordering = round % 2 === 0 ? 'fifo' : null;
      const [published] = await Promise.all([
        publish(apps, 25),
        api.patch(`/webhooks/${webhook.id}`, { ordering }),
      ]);
      ids.push(...published);
    }
    await eventually(() => expect(new Set(idsAt())).toEqual(new Set(ids)));
    await eventually(async () => {
      const { data } = await api.get(`/webhooks/${webhook.id}/deliveries?limit=200`);
      expect(data.map((delivery) => delivery['status'])).toEqual(data.map(() => 'success'));
    });
    await api.patch(`/webhooks/${webhook.id}`, { ordering: 'fifo' });
    const after = await publish(apps, 20);
    await eventually(() => expect(idsAt()).toEqual(expect.arrayContaining(after)));
    expect(firstArrivals().filter((id) => after.includes(id))).toEqual(after);
  });
});

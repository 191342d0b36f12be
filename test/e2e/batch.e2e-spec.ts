import { Client } from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { type ReceivedRequest, verify, type WebhookReceiver } from '../support/webhook-receiver.js';
import { forNewOwner, type RunningApp, World } from '../support/world.js';

let world: World;
let receiver: WebhookReceiver;
let shared: RunningApp;
let app: RunningApp;

beforeAll(async () => {
  world = await World.create();
  shared = await world.start();
});
afterAll(() => world.stop());
beforeEach(async () => {
  receiver = await world.receiver();
  app = forNewOwner(shared);
});

/** Runs a statement of the database. */
async function sql(text: string, values: unknown[]): Promise<unknown[]> {
  const client = new Client({ connectionString: world.database.url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text, values)).rows;
  } finally {
    await client.end();
  }
}

const publish = (count: number, more: object = {}) =>
  app.api.post(
    '/events/batch',
    {
      events: Array.from({ length: count }, (_, n) => ({ type: 'b.event', data: { n }, ...more })),
    },
    202,
  );

const eventsIn = ({ body }: ReceivedRequest): { id: string }[] =>
  JSON.parse(body) as { id: string }[];
const idsIn = (request: ReceivedRequest): string[] => eventsIn(request).map(({ id }) => id);

/** Until so many requests have come; their body is an array, so that they have no type to show. */
const requests = (count: number): Promise<ReceivedRequest[]> =>
  eventually(() => {
    expect(receiver.requests).toHaveLength(count);
    return receiver.requests;
  });

describe('a webhook with batch', () => {
  it('gets several events in one signed request, in the order of publishing', async () => {
    const { secret } = await app.api.webhook(receiver.url(), ['b.*'], {
      batch: { maxEvents: 10, maxWaitMs: 60_000 },
    });
    const { ids } = await publish(20);
    const [first, second] = await requests(2);
    expect([...idsIn(first!), ...idsIn(second!)]).toEqual(ids);
    expect(idsIn(first!)).toHaveLength(10);
    for (const request of [first!, second!]) verify(request, secret);
    expect(first!.headers).toMatchObject({ 'tidings-batch-size': '10', 'tidings-attempt': '1' });
    expect(first!.headers['webhook-id']).toMatch(/^bat_[0-9a-z]{26}$/);
    expect(first!.headers['webhook-id']).not.toBe(second!.headers['webhook-id']);
  });

  it('contains each envelope as it would be sent alone', async () => {
    await app.api.webhook(receiver.url('/batch'), ['b.*'], {
      batch: { maxEvents: 3, maxWaitMs: 60_000 },
    });
    await app.api.webhook(receiver.url('/single'), ['b.*']);
    await publish(3);
    await requests(4);
    const singles = receiver.of('/single').sort((a, b) => (a.json.id < b.json.id ? -1 : 1));
    expect(receiver.of('/batch')[0]!.body).toBe(`[${singles.map(({ body }) => body).join(',')}]`);
  });

  it('waits no longer than maxWaitMs for a batch to fill', async () => {
    await app.api.webhook(receiver.url(), ['b.*'], { batch: { maxEvents: 100, maxWaitMs: 300 } });
    const { ids } = await publish(7);
    const [only] = await requests(1);
    expect(idsIn(only!)).toEqual(ids);
  });

  it('gets a failed batch again unchanged, by its retry policy, and then each delivery is a dead letter', async () => {
    receiver.reply(500, 500, 200);
    await app.api.webhook(receiver.url(), ['b.*'], {
      batch: { maxEvents: 4, maxWaitMs: 0 },
      ordering: 'fifo',
      retryPolicy: { schedule: [40] },
    });
    const { ids } = await publish(8);
    const [first, again, next] = await requests(3);
    expect(again!.body).toBe(first!.body);
    expect(again!.headers['webhook-id']).toBe(first!.headers['webhook-id']);
    expect(again!.headers['tidings-attempt']).toBe('2');
    expect(idsIn(first!)).toEqual(ids.slice(0, 4));
    expect(idsIn(next!)).toEqual(ids.slice(4));
    const dead = await eventually(async () => {
      const { data } = await app.api.get('/dead-letters');
      expect(data).toHaveLength(4);
      return data;
    });
    expect(dead.map(({ eventId }) => eventId).sort()).toEqual(ids.slice(0, 4));

    // A new batch, whose attempts are numbered from 1, whatever its deliveries have had.
    receiver.reply(500, 200);
    await app.api.post('/dead-letters/redrive', { all: true }, 202);
    const redriven = (await requests(5))[3]!;
    const repeated = (await requests(5))[4]!;
    expect(redriven.headers['webhook-id']).not.toBe(first!.headers['webhook-id']);
    expect(redriven.headers['tidings-attempt']).toBe('1');
    expect(repeated.headers['webhook-id']).toBe(redriven.headers['webhook-id']);
    expect(repeated.headers['tidings-attempt']).toBe('2');
  });

  it('gets other batches while one is scheduled for a retry, if it has no order', async () => {
    receiver.reply(500, 200);
    await app.api.webhook(receiver.url(), ['b.*'], {
      batch: { maxEvents: 2, maxWaitMs: 0 },
      retryPolicy: { schedule: [60_000] },
    });
    const { ids } = await publish(6);
    const all = await requests(3);
    expect(all.map(idsIn)).toEqual([ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)]);
  });

  it('gets no body that is larger than 1 MiB, however many events wait', async () => {
    await app.api.webhook(receiver.url(), ['b.*'], { batch: { maxEvents: 100, maxWaitMs: 0 } });
    const { ids } = await publish(10, { data: 'x'.repeat(250_000) });
    const all = await requests(3);
    expect(all.flatMap(idsIn)).toEqual(ids);
    expect(all.map((request) => idsIn(request).length)).toEqual([4, 4, 2]);
    for (const { body } of all) expect(body.length).toBeLessThanOrEqual(1024 * 1024);
  });

  it('gets redriven deliveries under a new batch id', async () => {
    receiver.reply(500, 200);
    await app.api.webhook(receiver.url(), ['b.*'], {
      batch: { maxEvents: 3, maxWaitMs: 0 },
      retryPolicy: { schedule: [] },
    });
    const { ids } = await publish(3);
    const dead = await eventually(async () => {
      const { data } = await app.api.get('/dead-letters');
      expect(data).toHaveLength(3);
      return data;
    });
    const [one, other] = dead;
    for (const { id } of [one!, other!]) {
      const before = receiver.requests.length;
      await app.api.post(`/dead-letters/${id}/redrive`, undefined, 202);
      await requests(before + 1);
    }
    const [first, ...redriven] = receiver.requests;
    expect(idsIn(first!)).toEqual(ids);
    expect(redriven.map(idsIn)).toEqual([[one!.eventId], [other!.eventId]]);
    // A receiver that drops what it knows by `webhook-id` must not drop another event.
    expect(new Set(receiver.requests.map(({ headers }) => headers['webhook-id'])).size).toBe(3);
  });

  it.each(['fifo', 'none'])(
    'gets deliveries that may have crashed workers one by one, each under a new batch id (%s)',
    async (ordering) => {
      receiver.reply(500, 200);
      const { id } = await app.api.webhook(receiver.url(), ['b.*'], {
        batch: { maxEvents: 3, maxWaitMs: 60_000 },
        ordering,
        retryPolicy: { schedule: [60_000] },
      });
      const { ids } = await publish(3);
      await requests(1);
      await eventually(async () => {
        const crashed = `UPDATE deliveries SET lost_leases = 2, not_before = NULL
                          WHERE webhook_id = $1 AND status = 'retrying' RETURNING id`;
        expect((await sql(crashed, [id])).length).toBe(3);
      });
      const [first, ...alone] = await requests(4);
      expect(idsIn(first!)).toEqual(ids);
      expect(alone.map(idsIn)).toEqual(ids.map((event: string) => [event]));
      // A receiver that drops what it knows by `webhook-id` must not drop another event.
      expect(new Set(receiver.requests.map(({ headers }) => headers['webhook-id'])).size).toBe(4);
    },
  );

  it('numbers the attempts of a batch from 1, whatever those had that are not sent', async () => {
    receiver.reply(500, 200);
    const { id } = await app.api.webhook(receiver.url(), ['b.*'], {
      batch: { maxEvents: 2, maxWaitMs: 60_000 },
      retryPolicy: { schedule: [60_000] },
    });
    const { ids } = await publish(2);
    await requests(1);
    await eventually(async () => {
      const more = `UPDATE deliveries SET attempts = attempts + 5, batch_start = 5
                     WHERE webhook_id = $1 AND event_id = $2 AND status = 'retrying' RETURNING id`;
      expect((await sql(more, [id, ids[0]])).length).toBe(1);
    });
    // As when the time to live of its event ends after the claim: there is nothing left to send.
    await sql(`DELETE FROM events WHERE id = $1`, [ids[0]]);
    await sql(`UPDATE deliveries SET not_before = NULL WHERE webhook_id = $1`, [id]);
    const [, again] = await requests(2);
    expect(idsIn(again!)).toEqual([ids[1]]);
    expect(again!.headers['tidings-attempt']).toBe('2');
  });
});

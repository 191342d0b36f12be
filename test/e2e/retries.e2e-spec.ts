import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { timeOf } from '../../src/shared/ids.js';
import type { Json } from '../support/api-client.js';
import { eventually } from '../support/eventually.js';
import { type Reply, verify } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let product: RunningApp;

beforeAll(async () => {
  world = await World.create();
  // Circuits have tests of their own.
  product = await world.start({ BREAKER_FAILURE_THRESHOLD: '1000' });
});
afterAll(() => world.stop());

/** A new webhook with a new receiver, and one event that matches only this webhook. */
async function published(replies: [Reply, ...Reply[]], settings: object = {}, event: object = {}) {
  const receiver = (await world.receiver()).reply(...replies);
  const type = `retries.${crypto.randomUUID().replaceAll('-', '')}`;
  const webhook = await product.api.webhook(receiver.url(), [type], settings);
  const { id: eventId } = await product.api.publish({ type, ...event });
  const id = await deliveryOf(eventId);
  return { receiver, webhook, type, eventId, id };
}

/** The id of the one delivery of an event. */
const deliveryOf = (eventId: string): Promise<string> =>
  eventually(async () => {
    const { data } = await product.api.get(`/events/${eventId}/deliveries`);
    expect(data).toHaveLength(1);
    return data[0]!.id;
  });

/** The delivery with its attempts, once it is in this state. */
const delivery = (id: string, status: string): Promise<Json> =>
  eventually(async () => {
    const found = await product.api.get(`/deliveries/${id}`);
    expect(found.status).toBe(status);
    return found;
  });

const numbers = ({ attempts }: Json): number[] => attempts.map((attempt) => attempt.number);

const ONCE = { retryPolicy: { schedule: [] } };
const MUCH_LATER = { retryPolicy: { schedule: [600_000, 600_000] } };

describe('a failed attempt', () => {
  it('is repeated after the waits of the schedule, and each is recorded', async () => {
    const busy = { status: 503, body: 'busy' };
    const { id, receiver } = await published([busy, busy, { status: 200, body: 'thanks' }]);
    expect(await delivery(id, 'success')).toMatchObject({
      attemptCount: 3,
      lastStatusCode: 200,
      lastError: null,
      nextAttemptAt: null,
      completedAt: expect.any(String),
      attempts: [
        { number: 1, statusCode: 503, error: 'http', responseBody: 'busy' },
        { number: 2, statusCode: 503, error: 'http', responseBody: 'busy' },
        { number: 3, statusCode: 200, error: null, responseBody: 'thanks' },
      ],
    });
    for (const { durationMs, at } of (await delivery(id, 'success')).attempts) {
      expect(durationMs).toBeGreaterThanOrEqual(0);
      expect(new Date(at).toISOString()).toBe(at);
    }
    expect(receiver.requests).toHaveLength(3);
  });

  it('is repeated with the same id and bytes, newly signed for its moment', async () => {
    const { receiver, webhook, eventId, id } = await published(
      [500, 200],
      { retryPolicy: { schedule: [1_500] } },
      { data: { b: 1, a: ['é', 1.5, null] } },
    );
    const [first, second] = await receiver.expectRequests(2);
    for (const request of [first!, second!]) verify(request, webhook.secret);
    expect(second!.body).toBe(first!.body);
    expect([first, second].map((r) => r!.headers['webhook-id'])).toEqual([eventId, eventId]);
    expect([first, second].map((r) => r!.headers['tidings-delivery-id'])).toEqual([id, id]);
    expect([first, second].map((r) => r!.headers['tidings-attempt'])).toEqual(['1', '2']);
    const [before, after] = [first, second].map((r) => Number(r!.headers['webhook-timestamp']));
    expect(after).toBeGreaterThan(before!);
    expect(second!.headers['webhook-signature']).not.toBe(first!.headers['webhook-signature']);
  });

  it('is repeated by the policy of its webhook', async () => {
    const { id } = await published([500], {
      retryPolicy: { baseMs: 10, factor: 2, maxMs: 40, maxAttempts: 3 },
    });
    expect(numbers(await delivery(id, 'dead_letter'))).toEqual([1, 2, 3]);
  });

  it.each([
    ['429', 429],
    ['503', 503],
  ])('waits as long as the receiver asks for with %s', async (_, status) => {
    const { id } = await published([{ status, headers: { 'retry-after': '120' } }]);
    const { nextAttemptAt, attempts } = await delivery(id, 'retrying');
    const waitMs = Date.parse(String(nextAttemptAt)) - Date.parse(attempts[0]!.at);
    expect(waitMs).toBeGreaterThanOrEqual(120_000);
    expect(waitMs).toBeLessThan(180_000);
  });

  it.each([
    ['an order', { ordering: 'fifo' }],
    ['a rate', { rateLimit: { max: 10, perMs: 1_000 } }],
    ['batches', { batch: { maxEvents: 2, maxWaitMs: 0 } }],
  ])('shows when it is repeated, also for a webhook with %s', async (_, policy) => {
    const { id } = await published([500], { ...MUCH_LATER, ...policy });
    const { nextAttemptAt, attempts } = await delivery(id, 'retrying');
    const waitMs = Date.parse(String(nextAttemptAt)) - Date.parse(attempts[0]!.at);
    expect(waitMs).toBeGreaterThan(400_000);
    expect(waitMs).toBeLessThan(800_000);
  });

  it('comes after the event was accepted, when its delivery was created', async () => {
    const { id, eventId } = await published([200]);
    const { createdAt, attempts } = await delivery(id, 'success');
    expect(createdAt).toBe(new Date(timeOf(eventId)).toISOString());
    expect(Date.parse(attempts[0]!.at)).toBeGreaterThanOrEqual(Date.parse(String(createdAt)));
  });

  it('waits by the schedule when another status asks for longer', async () => {
    const { id } = await published([{ status: 500, headers: { 'retry-after': '120' } }, 200]);
    expect(numbers(await delivery(id, 'success'))).toEqual([1, 2]);
  });

  it('does not shorten its wait for a receiver that asks for less', async () => {
    const { id } = await published([{ status: 503, headers: { 'retry-after': '0' } }], MUCH_LATER);
    const { nextAttemptAt, attempts } = await delivery(id, 'retrying');
    expect(Date.parse(String(nextAttemptAt)) - Date.parse(attempts[0]!.at)).toBeGreaterThan(
      400_000,
    );
  });

  it('follows no redirect', async () => {
    const elsewhere = await world.receiver();
    const headers = { location: elsewhere.url() };
    const { id } = await published([{ status: 302, headers }], ONCE);
    expect(await delivery(id, 'dead_letter')).toMatchObject({
      lastStatusCode: 302,
      lastError: 'http',
    });
    expect(elsewhere.requests).toEqual([]);
  });

  it('is recorded as a timeout when there is no answer in time', async () => {
    const { id, receiver } = await published([() => undefined], { ...ONCE, timeoutMs: 100 });
    const { attempts } = await delivery(id, 'dead_letter');
    expect(attempts).toMatchObject([{ statusCode: null, error: 'timeout', responseBody: null }]);
    expect(receiver.requests).toHaveLength(1);
  });

  it('is recorded as no connection when nothing listens', async () => {
    const gone = await world.receiver();
    const url = gone.url();
    await gone.close();
    const webhook = await product.api.webhook(url, ['retries.refused'], ONCE);
    await product.api.publish({ type: 'retries.refused' });
    const [found] = await eventually(async () => {
      const { data } = await product.api.get(`/webhooks/${webhook.id}/deliveries`);
      expect(data.map((d) => d.status)).toEqual(['dead_letter']);
      return data;
    });
    expect((await delivery(found!.id, 'dead_letter')).attempts).toMatchObject([
      { number: 1, statusCode: null, error: 'connect' },
    ]);
  });

  it('keeps 16 KB of the answer, whatever it is', async () => {
    const { id } = await published([{ status: 500, body: 'x'.repeat(100_000) }], ONCE);
    const odd = await published([{ status: 500, body: '\0\u001e\u001f\\\'"{}é💥,NULL' }], ONCE);
    const { attempts } = await delivery(id, 'dead_letter');
    expect(attempts[0]!.responseBody).toHaveLength(16 * 1024);
    const kept = (await delivery(odd.id, 'dead_letter')).attempts[0]!.responseBody;
    expect(kept).toBe('\ufffd\ufffd\ufffd\\\'"{}é💥,NULL');
  });
});

describe('a delivery that has used up its attempts', () => {
  it('is a dead letter; redriven, it has a new budget and keeps its history', async () => {
    const { id, webhook, receiver } = await published([{ status: 500, body: 'no' }]);
    expect(numbers(await delivery(id, 'dead_letter'))).toEqual([1, 2, 3, 4]);
    const listed = `/dead-letters?webhookId=${webhook.id}`;
    expect((await product.api.get(listed)).data).toMatchObject([{ id, lastError: 'http' }]);

    receiver.reply(500, 500, 200);
    expect(await product.api.post(`/dead-letters/${id}/redrive`, undefined, 202)).toMatchObject({
      id,
      attemptCount: 4,
      completedAt: null,
    });
    const done = await delivery(id, 'success');
    expect(numbers(done)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(done.attempts.map((a) => a.statusCode)).toEqual([500, 500, 500, 500, 500, 500, 200]);
    expect(receiver.requests.map((r) => r.headers['tidings-attempt'])).toEqual([
      '1',
      '2',
      '3',
      '4',
      '5',
      '6',
      '7',
    ]);
    expect((await product.api.get(listed)).data).toEqual([]);
    await product.api.post(`/dead-letters/${id}/redrive`, undefined, 409);
  });

  it('is dead again after the new budget, and not before', async () => {
    const { id } = await published([500], { retryPolicy: { schedule: [20] } });
    await delivery(id, 'dead_letter');
    await product.api.post(`/dead-letters/${id}/redrive`, undefined, 202);
    const again = await eventually(async () => {
      const found = await delivery(id, 'dead_letter');
      expect(found.attemptCount).toBe(4);
      return found;
    });
    expect(numbers(again)).toEqual([1, 2, 3, 4]);
  });

  it('can be retried now, in place of its scheduled retry', async () => {
    const { id, webhook, receiver } = await published([503, 200], MUCH_LATER);
    await delivery(id, 'retrying');
    await product.api.post(`/webhooks/${webhook.id}/retry/${id}`, undefined, 202);
    const done = await delivery(id, 'success');
    expect(done).toMatchObject({ attemptCount: 2, nextAttemptAt: null });
    // Nothing is scheduled any more: the retry was replaced.
    expect(receiver.requests).toHaveLength(2);
  });

  it('ends with its time to live, and is not sent after it', async () => {
    const { id, receiver } = await published([503], MUCH_LATER, { ttlMs: 60_000 });
    const dead = await delivery(id, 'dead_letter');
    expect(dead).toMatchObject({ lastError: 'expired', lastStatusCode: 503, attemptCount: 1 });
    expect(dead.attempts).toMatchObject([{ statusCode: 503, error: 'http' }]);
    expect(receiver.requests).toHaveLength(1);

    const short = await published(
      [503],
      { retryPolicy: { schedule: [10, 600_000] } },
      { ttlMs: 1_000 },
    );
    await delivery(short.id, 'dead_letter');
    await eventually(async () => {
      const { body } = await product.api.request('POST', `/dead-letters/${short.id}/redrive`);
      expect(body.code).toBe('event_expired');
    });
    expect(await delivery(short.id, 'dead_letter')).toMatchObject({ lastError: 'expired' });
  });

  it('keeps the answer to its last attempt when it waits for another', async () => {
    const { id, webhook } = await published([{ status: 503 }], MUCH_LATER);
    await delivery(id, 'retrying');
    await product.api.patch(`/webhooks/${webhook.id}`, { active: false });
    await product.api.post(`/webhooks/${webhook.id}/retry/${id}`, undefined, 202);
    await eventually(async () => {
      expect(await product.api.get(`/deliveries/${id}`)).toMatchObject({
        lastError: 'webhook_inactive',
        lastStatusCode: 503,
        attemptCount: 1,
      });
    });
  });
});

describe('a receiver that answers 410', () => {
  it('gets no more requests: its webhook is disabled and its deliveries become dead letters', async () => {
    const { id, webhook, receiver, type } = await published([503, 410], MUCH_LATER);
    await delivery(id, 'retrying');
    const last = await product.api.publish({ type });
    await receiver.expectRequests(2);
    const off = await eventually(async () => {
      const found = await product.api.get(`/webhooks/${webhook.id}`);
      expect(found.active).toBe(false);
      return found;
    });
    expect(off.disabledReason).toBe('gone');
    expect(await delivery(await deliveryOf(last.id), 'dead_letter')).toMatchObject({
      lastError: 'gone',
      lastStatusCode: 410,
      attemptCount: 1,
    });
    const refused = await product.api.post(`/webhooks/${webhook.id}/retry/${id}`, undefined, 409);
    expect(refused.code).toBe('webhook_disabled');

    await product.api.publish({ type });
    const control = await product.api.webhook(receiver.url('/control'), [type]);
    expect(control.active).toBe(true);
    await product.api.publish({ type });
    await receiver.expectRequests(1, '/control');
    expect(receiver.of('/hook')).toHaveLength(2);
  });
});

describe('many deliveries to one receiver', () => {
  const AT_ONCE = 5;
  let bounded: RunningApp;

  beforeAll(async () => {
    await world.stop();
    world = await World.create();
    bounded = await world.start({ DELIVERY_MAX_PER_WEBHOOK: String(AT_ONCE) });
  });

  /** Delays each answer until `release`, and counts how many requests wait. */
  async function delayed() {
    const receiver = await world.receiver();
    const waiting: (() => void)[] = [];
    let most = 0;
    let isDelaying = true;
    receiver.reply((response) => {
      if (!isDelaying) return void response.end();
      most = Math.max(
        most,
        waiting.push(() => response.end()),
      );
    });
    return {
      receiver,
      waiting,
      most: () => most,
      release: () => {
        isDelaying = false;
        for (const answer of waiting.splice(0)) answer();
      },
    };
  }

  it('are in flight at most so many at once, and all arrive', async () => {
    const { receiver, waiting, most, release } = await delayed();
    await bounded.api.webhook(receiver.url(), ['bounded.*']);
    const events = Array.from({ length: 20 }, () => ({ type: 'bounded.one', data: {} }));
    await bounded.api.post('/events/batch', { events }, 202);
    for (let answered = 0; answered < 3; answered++) {
      await eventually(() => expect(waiting).toHaveLength(AT_ONCE));
      waiting.shift()!();
    }
    release();
    await receiver.expectRequests(20);
    expect(most()).toBe(AT_ONCE);
  });

  it('do not delay those to another receiver', async () => {
    const { receiver: slow, waiting, release } = await delayed();
    const fast = await world.receiver();
    await bounded.api.webhook(slow.url(), ['shared.*']);
    await bounded.api.webhook(fast.url(), ['shared.*']);
    for (let n = 0; n < 30; n++) await bounded.api.publish({ type: 'shared.one' });
    await fast.expectRequests(30);
    // None of the slow one's requests had an answer by then.
    expect(waiting).toHaveLength(AT_ONCE);
    expect(slow.requests).toHaveLength(AT_ONCE);
    release();
    await slow.expectRequests(30);
  });

  it.each(['high', 'normal', 'low'])('may have the priority %s', async (priority) => {
    const receiver = await world.receiver();
    await bounded.api.webhook(receiver.url(), [`prioritised.${priority}`]);
    const { id } = await bounded.api.publish({ type: `prioritised.${priority}`, priority });
    expect((await receiver.expectRequests(1))[0]!.json.id).toBe(id);
  });

  it('that is slow are deferred beyond the queue limit, and each is sent once', async () => {
    const receiver = await world.receiver();
    receiver.reply((response) => void setTimeout(() => response.end(), 2));
    const { id } = await bounded.api.webhook(receiver.url(), ['flood.*']);
    const ids = new Set<string>();
    for (let batch = 0; batch < 4; batch++) {
      const events = Array.from({ length: 500 }, (_, n) => ({ type: 'flood.drop', data: { n } }));
      for (const one of (await bounded.api.post('/events/batch', { events }, 202)).ids)
        ids.add(one);
    }
    await eventually(async () => {
      expect(new Set(receiver.requests.map((r) => r.json.id)).size).toBe(ids.size);
      for (const status of ['pending', 'delivering', 'retrying']) {
        const open = await bounded.api.get(`/webhooks/${id}/deliveries?status=${status}&limit=1`);
        expect(open.data).toEqual([]);
      }
    }, 25_000);
    expect(new Set(receiver.requests.map((r) => r.json.id))).toEqual(ids);
    expect(receiver.requests).toHaveLength(2_000);
  });
});

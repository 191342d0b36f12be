import { DataSource } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import { type RunningApp, World } from '../support/world.js';

const LONG = { DELIVERY_RETRY_SCHEDULE_MS: '3600000', BREAKER_OPEN_MS: '3600000' };
const TTL_MS = 1_000;

let world: World;
let product: RunningApp;

beforeEach(async () => {
  world = await World.create();
});
afterEach(() => world.stop());

/** The delivery of an event to its only webhook, once it is as expected. */
const becomes = (eventId: string, expected: object) =>
  eventually(async () => {
    const { data } = await product.api.get(`/events/${eventId}/deliveries`);
    expect(data).toMatchObject([expected]);
    return data[0]!;
  });

const EXPIRED = { status: 'dead_letter', lastError: 'expired', nextAttemptAt: null };

describe('the time to live of an event', () => {
  it('ends its delivery while its webhook is switched off', async () => {
    product = await world.start();
    const operator = await world.receiver();
    await product.api.webhook(operator.url(), ['delivery.dead_lettered']);
    const receiver = await world.receiver();
    let answer = () => {};
    receiver.reply((response) => {
      answer = () => response.writeHead(503).end();
    });
    const webhook = await product.api.webhook(receiver.url(), ['short.off']);
    const { id } = await product.api.publish({ type: 'short.off', ttlMs: 2_000 });
    await receiver.expectRequests(1);
    await product.api.patch(`/webhooks/${webhook.id}`, { active: false });
    answer();
    const ended = await becomes(id, EXPIRED);
    expect(ended).toMatchObject({ attemptCount: 1, lastStatusCode: 503 });
    const [notice] = await operator.expectRequests(1);
    expect(notice!.json.data).toMatchObject({
      deliveryId: ended.id,
      eventId: id,
      eventType: 'short.off',
      webhookId: webhook.id,
      reason: 'expired',
      attempts: 1,
    });
    await product.api.patch(`/webhooks/${webhook.id}`, { active: true });
    const refused = await product.api.post(`/dead-letters/${ended.id}/redrive`, undefined, 409);
    expect(refused.code).toBe('event_expired');
    expect(receiver.requests).toHaveLength(1);
  });

  it('ends its delivery behind an open circuit, and not one without a time to live', async () => {
    product = await world.start({ ...LONG, BREAKER_FAILURE_THRESHOLD: '1' });
    const receiver = (await world.receiver()).reply(500);
    await product.api.webhook(receiver.url(), ['short.broken']);
    const first = await product.api.publish({ type: 'short.broken' });
    await becomes(first.id, { status: 'retrying' });
    const lasting = await product.api.publish({ type: 'short.broken' });
    const short = await product.api.publish({ type: 'short.broken', ttlMs: TTL_MS });
    await becomes(short.id, { ...EXPIRED, attemptCount: 0 });
    await becomes(lasting.id, { status: 'pending', lastError: 'circuit_open' });
    expect(receiver.requests).toHaveLength(1);
  });

  it.each([
    ['an order', { ordering: 'fifo' }],
    ['batches in order', { ordering: 'fifo', batch: { maxEvents: 2, maxWaitMs: 0 } }],
  ])('ends its delivery behind one that fails, for a webhook with %s', async (_, policy) => {
    product = await world.start(LONG);
    const receiver = (await world.receiver()).reply(500);
    await product.api.webhook(receiver.url(), ['short.behind'], policy);
    const first = await product.api.publish({ type: 'short.behind' });
    await becomes(first.id, { status: 'retrying' });
    const short = await product.api.publish({ type: 'short.behind', ttlMs: TTL_MS });
    const lasting = await product.api.publish({ type: 'short.behind' });
    await becomes(short.id, { ...EXPIRED, attemptCount: 0 });
    await becomes(lasting.id, { status: 'pending' });
    expect(receiver.requests).toHaveLength(1);
  });

  it('ends at the head of an ordered queue, and the next delivery is sent', async () => {
    product = await world.start(LONG);
    const receiver = await world.receiver();
    await product.api.webhook(receiver.url(), ['short.head'], { ordering: 'fifo' });
    receiver.reply(500, 200);
    const head = await product.api.publish({ type: 'short.head' });
    await becomes(head.id, { status: 'retrying' });
    const [, changed] = await product.app
      .get(DataSource)
      .query(`UPDATE deliveries SET expires_at = now() + interval '1 s' WHERE event_id = $1`, [
        head.id,
      ]);
    expect(changed).toBe(1);
    const next = await product.api.publish({ type: 'short.head' });
    await becomes(head.id, EXPIRED);
    await becomes(next.id, { status: 'success' });
    expect(receiver.requests.map(({ json }) => json.id)).toEqual([head.id, next.id]);
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { eventually } from '../support/eventually.js';
import { ProductProcess } from '../support/product-process.js';
import { tokenFor } from '../support/tokens.js';
import { type ReceivedRequest, verify, type WebhookReceiver } from '../support/webhook-receiver.js';
import { environment, World } from '../support/world.js';
import { wrongClock } from '../support/wrong-clock.js';

/** Far less than the clocks are wrong by, and more than anything takes. */
const NEARLY_NOW_MS = 60_000;

describe.each(['+6m', '-6m'])('with a clock that is wrong by %s', (offset) => {
  let world: World;
  let receiver: WebhookReceiver;
  let worker: ProductProcess;
  let api: ApiClient;

  beforeAll(async () => {
    world = await World.create();
    const right = await world.start({ ROLES: 'api' });
    api = right.api.as(tokenFor('ann'));
    receiver = await world.receiver();
    const clock = await wrongClock(offset);
    worker = await ProductProcess.start(
      environment(world.database, { ...clock, ROLES: 'worker', LOG_LEVEL: 'log' }),
    );
  });
  afterAll(async () => {
    await worker.end();
    await world.stop();
  });

  const delivered = async (path: string, webhook: object = {}, event: object = {}) => {
    const { secret } = await api.webhook(receiver.url(path), [`clock${path.slice(1)}`], webhook);
    await api.publish({ type: `clock${path.slice(1)}`, ...event });
    const [request] = await receiver.expectRequests(1, path);
    return { request: request!, secret };
  };

  const isNearlyNow = (ms: number) => expect(Math.abs(ms - Date.now())).toBeLessThan(NEARLY_NOW_MS);

  it('the operator is warned', async () => {
    await eventually(() => expect(worker.output).toContain('the clock of this machine differs'));
  });

  it.each([
    ['/none', {}],
    ['/fifo', { ordering: 'fifo' }],
    ['/rate', { rateLimit: { max: 5, perMs: 1_000 } }],
    ['/many', { batch: { maxEvents: 5, maxWaitMs: 100 } }],
  ])('nothing expires early, and signatures carry the right time: %s', async (path, policy) => {
    const { request, secret } = await delivered(path, policy, { ttlMs: 120_000 });
    isNearlyNow(Number(request.headers['webhook-timestamp']) * 1_000);
    verify(request, secret);
  });

  it('a secret signs until its overlap ends', async () => {
    const { id } = await api.webhook(receiver.url('/overlap'), ['clock.overlap']);
    await api.post(`/webhooks/${id}/rotate-secret`, { overlapMs: 120_000 }, 200);
    await api.publish({ type: 'clock.overlap' });
    const [request] = await receiver.expectRequests(1, '/overlap');
    expect(String(request!.headers['webhook-signature']).split(' ')).toHaveLength(2);
  });

  it('a date of Retry-After is the date that it is', async () => {
    const answers: ReceivedRequest[] = [];
    const busy = await world.receiver();
    const at = new Date(Date.now() + 120_000);
    busy.reply((response, request) => {
      answers.push(request);
      response.writeHead(503, { 'retry-after': at.toUTCString() }).end();
    });
    const retryPolicy = { schedule: [1_000] };
    const { id } = await api.webhook(busy.url(), ['clock.busy'], { retryPolicy });
    const { id: eventId } = await api.publish({ type: 'clock.busy' });
    await eventually(async () => {
      const { data } = await api.get(`/events/${eventId}/deliveries`);
      const [delivery] = data.filter(({ webhookId }) => webhookId === id);
      expect(delivery).toMatchObject({ status: 'retrying' });
      isNearlyNow(Date.parse(String(delivery!['nextAttemptAt'])) - 120_000);
    });
  });
});

describe('published by a process with a wrong clock', () => {
  it.each(['+6m', '-6m'])('an event has the right time, and is delivered: %s', async (offset) => {
    const world = await World.create();
    const receiver = await world.receiver();
    const right = await world.start({ ROLES: 'api,worker' });
    const clock = await wrongClock(offset);
    const wrong = await ProductProcess.start(
      environment(world.database, { ...clock, ROLES: 'api', LOG_LEVEL: 'log' }),
    );
    await right.api.webhook(receiver.url(), ['clock.*'], { ordering: 'fifo' });
    // Accepted and refused as everywhere, although the machine would say otherwise.
    const valid = wrong.api.as(tokenFor('ann', { expiresInS: 120 }));
    await valid.get('/webhooks');
    const expired = wrong.api.as(tokenFor('ann', { expiresInS: -60 }));
    expect((await expired.get('/webhooks', 401)).code).toBe('token_expired');
    for (const api of [right.api, wrong.api, right.api]) {
      const { timestamp } = await api.publish({ type: 'clock.published', ttlMs: 120_000 });
      expect(Math.abs(Date.parse(timestamp) - Date.now())).toBeLessThan(NEARLY_NOW_MS);
    }
    const requests = await receiver.expectRequests(3);
    const ids = requests.map(({ json }) => json.id);
    expect(ids).toEqual([...ids].sort());
    expect((await right.api.get('/webhooks')).data).toHaveLength(1);
    await wrong.end();
    await world.stop();
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Json } from '../support/api-client.js';
import { eventually } from '../support/eventually.js';
import type { Reply, WebhookReceiver } from '../support/webhook-receiver.js';
import { forNewOwner, type RunningApp, World } from '../support/world.js';

/** A receiver that says its rate with 429, and one that is busy, with 503. */
let world: World;
let nodes: RunningApp[];

beforeAll(async () => {
  world = await World.create();
  nodes = [await world.start(), await world.start()];
});
afterAll(() => world.stop());

const TYPE = 'throttled.event';

const publish = async ({ api }: RunningApp, count: number): Promise<string[]> => {
  const events = Array.from({ length: count }, (_, n) => ({ type: TYPE, data: { n } }));
  return (await api.post('/events/batch', { events }, 202)).ids;
};

const refusal = (status: number, retryAfter?: string): Reply => ({
  status,
  ...(retryAfter !== undefined && { headers: { 'retry-after': retryAfter } }),
});

/** Takes so many requests in any window of one second. */
function limited(receiver: WebhookReceiver, max: number, headers: Record<string, string>) {
  const accepted = new Set<string>();
  let times: number[] = [];
  receiver.reply((response, { body }) => {
    const now = performance.now();
    times = times.filter((time) => time > now - 1_000);
    if (times.length >= max) return void response.writeHead(429, headers).end();
    times.push(now);
    for (const event of [JSON.parse(body) as { id: string } | { id: string }[]].flat()) {
      accepted.add(event.id);
    }
    response.end();
  });
  return accepted;
}

async function deliveriesOf({ api }: RunningApp, webhook: Json): Promise<Json[]> {
  return (await api.get(`/webhooks/${webhook.id}/deliveries?limit=200`)).data;
}

const circuitOf = async ({ api }: RunningApp, webhook: Json) =>
  (await api.get(`/webhooks/${webhook.id}/stats`))['circuit'] as Json;

describe.concurrent('a receiver that takes 5 requests per second, else 429', () => {
  it.each<[string, object, Record<string, string>]>([
    ['and says for how long', {}, { 'retry-after': '1' }],
    ['and does not say for how long', {}, {}],
    ['for an ordered webhook', { ordering: 'fifo' }, { 'retry-after': '1' }],
    ['for one with requests at once', { maxConcurrency: 4 }, { 'retry-after': '1' }],
    ['for one with a higher rate', { rateLimit: { max: 20, perMs: 500 } }, { 'retry-after': '1' }],
    ['for one with batches', { batch: { maxEvents: 2, maxWaitMs: 0 } }, { 'retry-after': '1' }],
  ])('%s: gets everything at its rate, and no circuit opens', async (_, settings, headers) => {
    const [app] = nodes.map((node) => forNewOwner(node)) as [RunningApp];
    const receiver = await world.receiver();
    const accepted = limited(receiver, 5, headers);
    const alerts = await world.receiver();
    await app.api.webhook(alerts.url(), ['webhook.circuit_opened', 'delivery.dead_lettered']);
    const webhook = await app.api.webhook(receiver.url(), [TYPE], settings);
    const ids = await publish(app, 20);
    await eventually(() => expect(accepted.size).toBe(20), 30_000);
    expect([...accepted].sort()).toEqual([...ids].sort());
    await eventually(async () => {
      const deliveries = await deliveriesOf(app, webhook);
      expect(deliveries.map(({ status }) => status)).toEqual(Array(20).fill('success'));
    });
    expect(await circuitOf(app, webhook)).toMatchObject({ state: 'closed', failures: 0 });
    expect(alerts.requests).toEqual([]);
    // All slots in the first two windows; then it is known how many it takes.
    expect(receiver.requests.length).toBeLessThanOrEqual(20 + 30);
  });

  it('keeps the budget of each delivery, and shows that it waits', async () => {
    const app = forNewOwner(nodes[0]!);
    const receiver = (await world.receiver()).reply(200, refusal(429, '60'));
    const webhook = await app.api.webhook(receiver.url(), [TYPE], {
      ordering: 'fifo',
      retryPolicy: { schedule: [] },
    });
    const [, second] = await publish(app, 2);
    const waiting = await eventually(async () => {
      const found = (await deliveriesOf(app, webhook)).find(({ eventId }) => eventId === second);
      expect(found).toMatchObject({ status: 'retrying', lastError: 'throttled' });
      return found!;
    });
    const circuit = await circuitOf(app, webhook);
    expect(Date.parse(String(circuit['throttledUntil']))).toBeGreaterThan(Date.now() + 20_000);
    expect(Date.parse(String(waiting['nextAttemptAt']))).toBeGreaterThan(Date.now() + 20_000);
    // A user need not wait.
    receiver.reply(200);
    await app.api.post(`/webhooks/${webhook.id}/retry/${waiting.id}`, {}, 202);
    await receiver.expectRequests(3);
    await eventually(async () =>
      expect(await app.api.get(`/deliveries/${waiting.id}`)).toMatchObject({
        status: 'success',
        attemptCount: 2,
        attempts: [
          { number: 1, statusCode: 429, error: 'http' },
          { number: 2, statusCode: 200 },
        ],
      }),
    );
  });

  it('has a dead letter in the end if it accepts nothing at all', async () => {
    const app = forNewOwner(nodes[0]!);
    const receiver = (await world.receiver()).reply(refusal(429, '0'));
    const webhook = await app.api.webhook(receiver.url(), [TYPE], {
      retryPolicy: { schedule: [20] },
    });
    await publish(app, 1);
    await eventually(async () => {
      const [delivery] = await deliveriesOf(app, webhook);
      expect(delivery).toMatchObject({ status: 'dead_letter', lastError: 'http' });
    }, 30_000);
    expect(await circuitOf(app, webhook)).toMatchObject({ state: 'closed' });
  });
});

describe.concurrent('a pause that a receiver asks for', () => {
  /** What was in flight, and the notification of the other nodes, take this long at most. */
  const GRACE_MS = 3_000;
  const PAUSE_S = 6;

  it.each([429, 503])('with %i, is kept by all nodes, for the whole webhook', async (status) => {
    const apps = [0, 1].map((n) => forNewOwner(nodes[n]!, `pause-${status}`));
    const receiver = await world.receiver();
    let refusedAt: number | undefined;
    receiver.reply((response, { at }) => {
      if (refusedAt !== undefined && at > refusedAt + GRACE_MS) return void response.end();
      refusedAt ??= at;
      response.writeHead(status, { 'retry-after': String(PAUSE_S) }).end();
    });
    const webhook = await apps[0]!.api.webhook(receiver.url(), [TYPE]);
    await publish(apps[0]!, 1);
    await receiver.expectRequests(1);
    const ids: string[] = [];
    const isOver = () => performance.now() > refusedAt! + GRACE_MS + 1_000;
    while (!isOver()) for (const app of apps) ids.push(...(await publish(app, 5)));
    await eventually(() => {
      const arrived = new Set(receiver.requests.map(({ json }) => json.id));
      expect(ids.filter((id) => !arrived.has(id))).toEqual([]);
    }, 30_000);
    const early = receiver.requests.filter(
      ({ at }) => at > refusedAt! + GRACE_MS && at < refusedAt! + PAUSE_S * 1_000 - 200,
    );
    expect(early).toEqual([]);
    expect(await circuitOf(apps[0]!, webhook)).toMatchObject({ state: 'closed' });
  });

  it('is an hour at most', async () => {
    const app = forNewOwner(nodes[0]!);
    const receiver = (await world.receiver()).reply(refusal(429, '3153600000'));
    const webhook = await app.api.webhook(receiver.url(), [TYPE]);
    await publish(app, 1);
    await eventually(async () => {
      const [delivery] = await deliveriesOf(app, webhook);
      const waitMs = Date.parse(String(delivery?.['nextAttemptAt'])) - Date.now();
      expect(waitMs).toBeGreaterThan(1_800_000);
      expect(waitMs).toBeLessThanOrEqual(3_600_000);
    });
  });

  it('ends when the webhook is repaired', async () => {
    const app = forNewOwner(nodes[1]!);
    const receiver = (await world.receiver()).reply(refusal(429, '600'), 200);
    const webhook = await app.api.webhook(receiver.url(), [TYPE]);
    await publish(app, 1);
    await eventually(async () =>
      expect((await circuitOf(app, webhook))['throttledUntil']).not.toBeNull(),
    );
    const other = await world.receiver();
    await app.api.patch(`/webhooks/${webhook.id}`, { url: other.url() });
    const [id] = await publish(app, 1);
    await eventually(() => expect(other.requests.map(({ json }) => json.id)).toContain(id));
  });
});

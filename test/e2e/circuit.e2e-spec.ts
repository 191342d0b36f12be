import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresClient } from '../../src/database/postgres.client.js';
import { Circuits } from '../../src/delivery/circuit/circuits.service.js';
import type { Json } from '../support/api-client.js';
import { eventually } from '../support/eventually.js';
import { adminToken, tokenFor } from '../support/tokens.js';
import type { Reply, WebhookReceiver } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

/** Opens at the third failure; a failed delivery is not attempted again during a test. */
const BREAKER = { BREAKER_FAILURE_THRESHOLD: '3', DELIVERY_RETRY_SCHEDULE_MS: '600000,600000' };
/** With a short open time. */
const SHORT = { ...BREAKER, BREAKER_OPEN_MS: '200' };
const TYPE = 'circuit.tested';

/** Of {@link BREAKER}; it has the receivers of all. */
let world: World;
/** Nodes by settings and number. Tests share them, each with an owner of its own. */
const running = new Map<string, { world: World; nodes: RunningApp[] }>();
let owners = 0;

beforeAll(async () => {
  world = await World.create();
});
afterAll(async () => {
  for (const { world: other } of running.values()) if (other !== world) await other.stop();
  await world.stop();
});

/** So many nodes with these settings, as a new owner uses them. */
async function nodes(env: NodeJS.ProcessEnv, count: number): Promise<RunningApp[]> {
  const key = JSON.stringify([env, count]);
  let shared = running.get(key);
  if (!shared) {
    const isMain = env === BREAKER && count === 1;
    shared = { world: isMain ? world : await World.create(), nodes: [] };
    running.set(key, shared);
    for (let n = 0; n < count; n++) shared.nodes.push(await shared.world.start(env));
  }
  const token = tokenFor(`owner-${owners++}`);
  return shared.nodes.map((node) => ({ ...node, api: node.api.as(token) }));
}

const start = async (env: NodeJS.ProcessEnv): Promise<RunningApp> => (await nodes(env, 1))[0]!;

interface Target {
  receiver: WebhookReceiver;
  webhook: Json;
}

async function target({ api }: RunningApp, reply: Reply, settings: object = {}): Promise<Target> {
  const receiver = (await world.receiver()).reply(reply);
  return { receiver, webhook: await api.webhook(receiver.url(), [TYPE], settings) };
}

/** A receiver of these system events of the owner. */
async function subscriber({ api }: RunningApp, ...types: string[]): Promise<WebhookReceiver> {
  const receiver = await world.receiver();
  await api.webhook(receiver.url(), types);
  return receiver;
}

const publish = async ({ api }: RunningApp, count: number): Promise<string[]> => {
  const events = Array.from({ length: count }, () => ({ type: TYPE, data: {} }));
  return (await api.post('/events/batch', { events }, 202)).ids;
};

const stateOf = async ({ app }: RunningApp, { webhook }: Target): Promise<string> =>
  (await app.get(Circuits).stateOf(webhook.id)).state;

const reaches = (product: RunningApp, target: Target, state: string): Promise<void> =>
  eventually(async () => expect(await stateOf(product, target)).toBe(state));

/** Causes so many failures, one after the other. */
async function fail(product: RunningApp, { receiver }: Target, count: number): Promise<void> {
  for (let n = 0; n < count; n++) {
    const before = receiver.requests.length;
    await publish(product, 1);
    await receiver.expectRequests(before + 1);
  }
}

const deliveries = async ({ api }: RunningApp, { webhook }: Target): Promise<Json[]> =>
  (await api.get(`/webhooks/${webhook.id}/deliveries?limit=200`)).data;

/** Waits until so many deliveries are deferred by the circuit, without an attempt. */
const areDeferred = (product: RunningApp, target: Target, count: number): Promise<void> =>
  eventually(async () => {
    const all = await deliveries(product, target);
    const deferred = all.filter((d) => d.status === 'pending' && d.lastError === 'circuit_open');
    expect(deferred.map((d) => d.attemptCount)).toEqual(Array.from({ length: count }, () => 0));
  });

const ids = (receiver: WebhookReceiver): string[] => receiver.requests.map((r) => r.json.id);
const received = (receiver: WebhookReceiver) =>
  receiver.requests.map((r) => [r.json.type, r.json.data] as const);

describe('an open circuit', () => {
  it('follows too many failures in a row, and defers deliveries without an attempt', async () => {
    const product = await start(BREAKER);
    const broken = await target(product, 500);
    const healthy = await target(product, 200);
    const alerts = await subscriber(product, 'webhook.*');

    await fail(product, broken, 2);
    expect(await stateOf(product, broken)).toBe('closed');
    await fail(product, broken, 1);
    await reaches(product, broken, 'open');

    const waiting = await publish(product, 20);
    await healthy.receiver.expectRequests(23);
    await areDeferred(product, broken, 20);
    expect(broken.receiver.requests).toHaveLength(3);
    expect(ids(broken.receiver)).not.toContain(waiting[0]);

    await alerts.expectRequests(1);
    expect(received(alerts)).toEqual([
      [
        'webhook.circuit_opened',
        {
          webhookId: broken.webhook.id,
          failures: 3,
          openUntil: expect.any(String),
          lastError: 'http',
        },
      ],
    ]);
    expect(alerts.requests[0]!.json.subject).toBe(broken.webhook.id);
  });

  it('does not follow failures that are not in a row', async () => {
    const product = await start(BREAKER);
    const flapping = await target(product, 200);
    flapping.receiver.reply(500, 500, 200, 500, 500, 200, 500, 500, 200);
    await fail(product, flapping, 9);
    expect(await stateOf(product, flapping)).toBe('closed');
  });

  it('closes when a probe succeeds, and its backlog is sent', async () => {
    const product = await start(SHORT);
    const broken = await target(product, 500);
    const alerts = await subscriber(product, 'webhook.*');
    await fail(product, broken, 3);
    await reaches(product, broken, 'open');
    broken.receiver.reply(200);
    const waiting = await publish(product, 30);
    await broken.receiver.expectRequests(33);
    expect(ids(broken.receiver).slice(3).sort()).toEqual([...waiting].sort());
    await reaches(product, broken, 'closed');
    await alerts.expectRequests(2);
    expect(received(alerts).map(([type]) => type)).toEqual([
      'webhook.circuit_opened',
      'webhook.circuit_closed',
    ]);
  });

  it('closes at once when the webhook is repaired', async () => {
    const product = await start(BREAKER);
    const broken = await target(product, 500);
    await fail(product, broken, 3);
    await reaches(product, broken, 'open');
    const waiting = await publish(product, 5);
    await areDeferred(product, broken, 5);
    const repaired = await world.receiver();
    await product.api.patch(`/webhooks/${broken.webhook.id}`, { url: repaired.url() });
    expect(await stateOf(product, broken)).toBe('closed');
    await repaired.expectRequests(5);
    expect(ids(repaired).sort()).toEqual([...waiting].sort());
  });

  it('is published to the owner of the webhook, and to no other', async () => {
    const product = await start(BREAKER);
    const alice = product.api.as(tokenFor('alice'));
    const subscribe = async (owner: string): Promise<WebhookReceiver> => {
      const receiver = await world.receiver();
      await product.api
        .as(tokenFor(owner))
        .webhook(receiver.url(), ['*', 'webhook.*', 'delivery.*']);
      return receiver;
    };
    const [own, foreign] = [await subscribe('alice'), await subscribe('bob')];
    const receiver = (await world.receiver()).reply(500);
    await alice.webhook(receiver.url(), [TYPE]);
    for (let n = 1; n <= 3; n++) {
      await alice.publish({ type: TYPE });
      await receiver.expectRequests(n);
    }
    await eventually(() =>
      expect(received(own).map(([type]) => type)).toContain('webhook.circuit_opened'),
    );
    const control = await product.api.as(adminToken()).publish({ type: 'control.event' });
    await eventually(() => expect(ids(foreign)).toContain(control.id));
    expect(foreign.requests).toHaveLength(1);
  });
});

describe('the probe', () => {
  it('is one request over all nodes, and the only one', async () => {
    const [one, other] = (await nodes(SHORT, 2)) as [RunningApp, RunningApp];
    const broken = await target(one, 500);
    await fail(one, broken, 3);
    await reaches(other, broken, 'open');
    let answer: () => void = () => undefined;
    broken.receiver.reply((response) => {
      answer = () => response.writeHead(200).end();
    });
    await publish(one, 10);
    await broken.receiver.expectRequests(4);
    // Deliveries that come meanwhile, through either node, are deferred like the others.
    await Promise.all([publish(one, 5), publish(other, 5)]);
    await areDeferred(one, broken, 19);
    expect(broken.receiver.requests).toHaveLength(4);
    broken.receiver.reply(200);
    answer();
    await broken.receiver.expectRequests(23);
    expect(new Set(ids(broken.receiver)).size).toBe(23);
  });

  it('that fails keeps the circuit open, and is the only attempt', async () => {
    const product = await start(SHORT);
    const broken = await target(product, 500);
    const alerts = await subscriber(product, 'webhook.*');
    await fail(product, broken, 3);
    await publish(product, 2);
    await broken.receiver.expectRequests(5);
    expect(new Set(ids(broken.receiver)).size).toBe(5);
    await eventually(async () => {
      const counts = (await deliveries(product, broken)).map((d) => d.attemptCount);
      expect(counts).toEqual([1, 1, 1, 1, 1]);
    });
    await reaches(product, broken, 'open');
    expect(received(alerts).map(([type]) => type)).toEqual(['webhook.circuit_opened']);
  });
});

describe('a delivery that a user sends again now', () => {
  it('is not deferred by an open circuit: it is the probe', async () => {
    const product = await start(BREAKER);
    const broken = await target(product, 500);
    await fail(product, broken, 3);
    await reaches(product, broken, 'open');
    broken.receiver.reply(200);
    const [last] = await deliveries(product, broken);
    await product.api.post(`/webhooks/${broken.webhook.id}/retry/${last!.id}`, undefined, 202);
    await broken.receiver.expectRequests(4);
    expect(ids(broken.receiver)[3]).toBe(last!.eventId);
    await reaches(product, broken, 'closed');
  });

  it.each([
    ['no dispatch policy', {}],
    ['a rate', { rateLimit: { max: 1_000, perMs: 1_000 } }],
  ])('is the probe before all deferred ones, for a webhook with %s', async (_, policy) => {
    const [product, other] = (await nodes(BREAKER, 2)) as [RunningApp, RunningApp];
    const broken = await target(product, 500, policy);
    await fail(product, broken, 3);
    await reaches(product, broken, 'open');
    await publish(product, 20);
    const waiting = await eventually(async () => {
      const all = await deliveries(product, broken);
      const isDeferred = ({ status, lastError }: Json) =>
        status === 'pending' && (lastError === 'circuit_open' || broken.webhook.rateLimit !== null);
      const deferred = all.filter(isDeferred);
      expect(deferred).toHaveLength(20);
      return deferred;
    });
    for (const [api, index] of [
      [product.api, 3],
      [other.api, 11],
    ] as const) {
      const { id, eventId } = waiting[index]!;
      const before = broken.receiver.requests.length;
      await api.post(`/webhooks/${broken.webhook.id}/retry/${id}`, undefined, 202);
      await broken.receiver.expectRequests(before + 1);
      expect(ids(broken.receiver).slice(before)).toEqual([eventId]);
      // Until its outcome is written, 'open' may still be the state before the probe.
      await eventually(async () => {
        expect(await api.get(`/deliveries/${id}`)).toMatchObject({ attemptCount: 1 });
      });
      await reaches(product, broken, 'open');
    }
  });
});

describe('a circuit that has closed', () => {
  it('starts slowly, and does not send its backlog at once', async () => {
    const product = await start(SHORT);
    const broken = await target(product, 500, { timeoutMs: 20_000 });
    await fail(product, broken, 3);
    await reaches(product, broken, 'open');
    const unanswered: (() => void)[] = [];
    const arrivals: { inFlight: number; sinceClosedMs: number }[] = [];
    let closedAtMs: number | undefined;
    broken.receiver.reply((response) => {
      const answer = () => response.writeHead(200).end();
      if (closedAtMs === undefined) {
        // The probe. Its answer closes the circuit, no earlier than now.
        closedAtMs = performance.now();
        return void answer();
      }
      const inFlight = unanswered.push(answer);
      arrivals.push({ inFlight, sinceClosedMs: performance.now() - closedAtMs });
    });
    await publish(product, 40);
    await eventually(() => expect(arrivals.length).toBeGreaterThanOrEqual(3));
    // Without answers one, two, four at once, doubled each second: never ten. A node knows the clock of
    // the store only as exactly as its last answer was quick, so a busy machine may be a step ahead.
    for (const { inFlight, sinceClosedMs } of arrivals) {
      expect(inFlight).toBeLessThanOrEqual(2 ** (Math.floor(sinceClosedMs / 1_000) + 1));
    }
    broken.receiver.reply(200);
    for (const answer of unanswered) answer();
    await broken.receiver.expectRequests(43);
  });
});

describe('a webhook that receives events about itself', () => {
  it('makes no loop: their failures are not published', async () => {
    const product = await start({ ...SHORT, DELIVERY_RETRY_SCHEDULE_MS: '10,10' });
    const receiver = (await world.receiver()).reply(500);
    const webhook = await product.api.webhook(receiver.url(), ['*', 'webhook.*', 'delivery.*']);
    const alerts = await subscriber(product, 'webhook.*', 'delivery.*');
    await product.api.publish({ type: TYPE });
    // The event itself, the opening, and the dead letter of the event; and nothing about those two.
    await eventually(async () => {
      const { data } = await product.api.get(`/webhooks/${webhook.id}/deliveries`);
      expect(data.map((d) => d.status)).toEqual(['dead_letter', 'dead_letter', 'dead_letter']);
    });
    const types = received(alerts).map(([type]) => type);
    expect(types.sort()).toEqual(['delivery.dead_lettered', 'webhook.circuit_opened']);
  });
});

describe('a webhook that does not work any more', () => {
  it('is disabled when it has only failed for too long', async () => {
    const product = await start({ ...SHORT, BREAKER_DISABLE_AFTER_MS: '500' });
    const dead = await target(product, 500);
    const alerts = await subscriber(product, 'webhook.disabled', 'delivery.*');
    await publish(product, 60);
    await eventually(async () => {
      const { active, disabledReason } = await product.api.get(`/webhooks/${dead.webhook.id}`);
      expect([active, disabledReason]).toEqual([false, 'failing']);
    });
    await eventually(() =>
      expect(received(alerts)).toContainEqual([
        'webhook.disabled',
        { webhookId: dead.webhook.id, reason: 'failing' },
      ]),
    );
    // Its pending deliveries are not lost, but kept for a redrive.
    await eventually(async () => {
      const failing = (await deliveries(product, dead)).filter((d) => d.lastError === 'failing');
      expect(failing.length).toBeGreaterThan(0);
    });
    await eventually(() =>
      expect(received(alerts).filter(([type]) => type === 'delivery.dead_lettered')[0]).toEqual([
        'delivery.dead_lettered',
        {
          deliveryId: expect.any(String),
          eventId: expect.any(String),
          eventType: TYPE,
          webhookId: dead.webhook.id,
          reason: 'failing',
          attempts: expect.any(Number),
        },
      ]),
    );
  });

  it('is disabled by an answer of 410, and its owner is notified', async () => {
    const product = await start(BREAKER);
    const gone = await target(product, 410);
    const alerts = await subscriber(product, 'webhook.disabled');
    await publish(product, 1);
    await alerts.expectRequests(1);
    expect(received(alerts)).toEqual([
      ['webhook.disabled', { webhookId: gone.webhook.id, reason: 'gone' }],
    ]);
    expect(await stateOf(product, gone)).toBe('closed');
  });
});

describe('the statistics of a webhook', () => {
  it('show its deliveries and its circuit', async () => {
    const product = await start(BREAKER);
    const watched = await target(product, 200);
    const stats = (path = '') => product.api.get(`/webhooks/${watched.webhook.id}/stats${path}`);
    expect(await stats()).toMatchObject({ deliveries: 0, successRate: null, latencyMs: null });

    await publish(product, 4);
    await watched.receiver.expectRequests(4);
    // A healthy webhook has no row in the table of circuits.
    await eventually(async () => expect((await stats()).byStatus).toMatchObject({ success: 4 }));
    const { dataSource } = product.app.get(PostgresClient);
    const rows = 'SELECT * FROM webhook_circuits WHERE webhook_id = $1';
    expect(await dataSource.query(rows, [watched.webhook.id])).toEqual([]);
    watched.receiver.reply(500);
    await fail(product, watched, 3);
    await reaches(product, watched, 'open');
    await publish(product, 2);
    await areDeferred(product, watched, 2);
    expect(await stats()).toEqual({
      since: expect.any(String),
      deliveries: 9,
      isTruncated: false,
      attempts: 7,
      successRate: 1,
      latencyMs: { p50: expect.any(Number), p95: expect.any(Number), p99: expect.any(Number) },
      byStatus: { pending: 2, delivering: 0, retrying: 3, success: 4, dead_letter: 0, canceled: 0 },
      byError: { http: 3, circuit_open: 2 },
      circuit: {
        state: 'open',
        failures: 3,
        since: expect.any(String),
        retryAt: expect.any(String),
        lastError: 'http',
        throttledUntil: null,
      },
    });
    const { circuit } = (await stats()) as unknown as { circuit: Record<string, string> };
    expect(Date.parse(circuit['retryAt']!) - Date.parse(circuit['since']!)).toBe(300_000);
    expect(await stats('?since=2999-01-01T00:00:00Z')).toMatchObject({ deliveries: 0 });
  });

  it('are for its owner, and refuse a bad time', async () => {
    const product = await start(BREAKER);
    const { webhook } = await target(product, 200);
    await product.api.as(tokenFor('stranger')).get(`/webhooks/${webhook.id}/stats`, 404);
    const refused = await product.api.get(`/webhooks/${webhook.id}/stats?since=yesterday`, 422);
    expect(refused.errors.map(({ field }) => field)).toEqual(['since']);
  });
});

import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { newId } from '../../../src/shared/ids.js';
import { ApiClient } from '../../support/api-client.js';
import { tokenFor } from '../../support/tokens.js';
import { failingForEver } from '../site/behaviours.js';
import { LEASE_MS, TIMEOUT_MS } from '../site/site.js';
import { AFTER_LEASE, type Fault, PROMPT, type Scene } from './fault.js';

/** More than an ordered webhook reads at once of what is not dispatched. */
const MANY = 1_200;
const OWNER = 'ada';

/**
 * Publishes in one transaction as an application does that Tidings is built into: many events for no
 * webhook, and behind them one for an ordered webhook.
 */
async function publishInTransaction({ site, prefix }: Scene): Promise<void> {
  const types = [...Array.from({ length: MANY }, () => 'filler'), 'ordered'];
  const events = types.map((kind) => {
    const [id, nonce, type] = [newId('evt'), randomUUID(), `${prefix}.${kind}`];
    const timestamp = new Date().toISOString();
    return { id, nonce, type, body: JSON.stringify({ id, type, timestamp, data: { nonce } }) };
  });
  const at = Date.now();
  for (const [seq, { nonce, type }] of events.entries()) {
    const more = { ownerId: OWNER, type, producer: 'transaction', seq };
    site.record({ kind: 'asked', at, nonce, ...more });
  }
  await site.query(
    `WITH input AS (
       SELECT * FROM unnest($1::text[], $2::text[], $3::text[]) AS i(id, type, body)),
     outbox AS (
       INSERT INTO event_outbox (event_id, webhook_ids, due_at) SELECT id, NULL, now() FROM input)
     INSERT INTO events (id, owner_id, type, body, priority, tx, tx_snapshot)
     SELECT id, $4, type, body, 1, pg_current_xact_id()::text::bigint, pg_current_snapshot()::text
       FROM input`,
    [...(['id', 'type', 'body'] as const).map((key) => events.map((e) => e[key])), OWNER],
  );
  const answered = { kind: 'answered', at: Date.now(), status: 202 } as const;
  for (const { id, nonce } of events) site.record({ ...answered, nonce, eventId: id });
}

const manyUndispatched: Fault = {
  name: 'kill -9 of a worker, and transactions with 1,200 events ahead of an ordered webhook',
  target: 'processes',
  budget: AFTER_LEASE,
  endpoints: (prefix) => ({
    ordered: { events: [`${prefix}.ordered`], settings: { ordering: 'fifo' } },
  }),
  async inflict(scene) {
    const { site, publisher, random } = scene;
    for (const isKilled of [false, true, false]) {
      await publishInTransaction(scene);
      await publisher.publish('ordered');
      if (!isKilled) continue;
      const victim = random.pick(site.workers);
      await victim.kill();
      await victim.start();
    }
  },
};

const SLOW_EVENTS = 20;
const CRASHES = 3;

/** Each crash meets the same requests, and none of them may end for that, or delay others. */
export const crashesBesideSlow: Fault = {
  name: 'kill -9 of all workers again and again, while a slow receiver has their requests',
  target: 'processes',
  budget: { ...AFTER_LEASE, drainedMs: AFTER_LEASE.drainedMs + SLOW_EVENTS * TIMEOUT_MS },
  endpoints: (prefix) => ({
    slow: { events: [`${prefix}.slow`] },
    'slow-in-order': { events: [`${prefix}.slow`], settings: { ordering: 'fifo' } },
  }),
  async inflict({ site, receivers, publisher }) {
    for (const name of ['slow', 'slow-in-order']) {
      receivers.behave(name, (exchange) => {
        setTimeout(() => exchange.answer(200), TIMEOUT_MS * 0.7).unref();
      });
    }
    for (let n = 0; n < SLOW_EVENTS; n++) await publisher.publish('slow');
    for (let crash = 0; crash < CRASHES; crash++) {
      await delay(crash === 0 ? TIMEOUT_MS / 2 : LEASE_MS);
      await Promise.all(site.workers.map((worker) => worker.kill()));
      await Promise.all(site.workers.map((worker) => worker.start()));
    }
  },
};

const ROUNDS = 4;
/** Every nth event of it becomes a dead letter. */
const DEAD = 4;
/** How long a replay may take to send again what was delivered before. */
const REPLAY_MS = 20_000;

/** A request to the API, which may have been killed: the next one succeeds, or the round does without it. */
async function tryTo(act: () => Promise<unknown>): Promise<void> {
  await act().catch(() => undefined);
}

/** Policies that a webhook is switched between under load. */
const POLICIES: object[] = [
  { ordering: 'fifo' },
  { ordering: null, maxConcurrency: 2 },
  { maxConcurrency: null, rateLimit: { max: 50, perMs: 100 } },
  { rateLimit: null, name: 'plain again' },
];

const changesUnderCrashes: Fault = {
  name: 'kill -9 of any process, while webhooks, policies, redrives and replays change',
  target: 'processes',
  budget: { ...AFTER_LEASE, drainedMs: AFTER_LEASE.drainedMs + REPLAY_MS },
  endpoints: (prefix) => ({
    changed: {
      events: [`${prefix}.changed`],
      settings: { retryPolicy: { schedule: [200] } },
      isHealthy: false,
    },
  }),
  async inflict({ site, receivers, publisher, random, prefix }) {
    receivers.behave('changed', failingForEver(DEAD));
    const api = () => new ApiClient(site.api.baseUrl, tokenFor(OWNER));
    const { data } = await api().get('/webhooks?limit=200');
    const { id } = data.find(({ url }) => url === receivers.url('changed'))!;
    const since = new Date().toISOString();
    const startedAt = Date.now();
    for (let round = 0; round < ROUNDS; round++) {
      const unused = { url: receivers.url('unused'), events: [`${prefix}.unused`] };
      const published = Array.from({ length: 2 * DEAD }, () => publisher.publish('changed'));
      const changes = POLICIES.map(async (policy, index) => {
        await delay(index * 100);
        await tryTo(() => api().patch(`/webhooks/${id}`, policy));
      });
      const created = tryTo(async () => {
        const extra = await api().request('POST', '/webhooks', unused);
        await api().delete(`/webhooks/${extra.body.id}`);
      });
      const again = tryTo(async () => {
        await api().request('POST', '/dead-letters/redrive', { webhookId: id });
        await api().request('POST', `/webhooks/${id}/replay`, { since });
      });
      const victim = random.pick(site.all);
      await delay(random.between(0, 300));
      await victim.kill();
      await victim.start();
      await Promise.all([...published, ...changes, created, again]);
    }
    // The API may have been killed during the last change.
    await api().patch(`/webhooks/${id}`, Object.assign({}, ...POLICIES) as object);
    const more = { what: 'a replay sends again what was delivered' };
    for (let round = 0; round < ROUNDS; round++) {
      site.record({ kind: 'disturbed', from: startedAt, until: Date.now() + REPLAY_MS, ...more });
    }
  },
};

const throttledUnderRestart: Fault = {
  name: 'rolling SIGTERM, while a receiver takes 20 requests per second, else 429',
  target: 'processes',
  budget: { ...PROMPT, drainedMs: PROMPT.drainedMs + 20_000 },
  endpoints: (prefix) => ({ throttled: { events: [`${prefix}.throttled`] } }),
  async inflict({ site, receivers, publisher }) {
    let times: number[] = [];
    receivers.behave('throttled', (exchange) => {
      const now = performance.now();
      times = times.filter((time) => time > now - 1_000);
      if (times.length < 20) {
        times.push(now);
        return exchange.answer(200);
      }
      exchange.note(429);
      exchange.response.writeHead(429, { 'retry-after': '1' }).end();
    });
    await Promise.all(Array.from({ length: 100 }, () => publisher.publish('throttled')));
    for (const member of site.all) {
      await member.terminate();
      await member.start();
    }
  },
};

/** What the engine does at its limits, while processes end and crash. */
export const deliveryFaults: Fault[] = [
  manyUndispatched,
  changesUnderCrashes,
  throttledUnderRestart,
];

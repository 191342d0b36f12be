import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.js';
import type { ReceivedRequest, WebhookReceiver } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let receiver: WebhookReceiver;
let app: RunningApp;

beforeEach(async () => {
  world = await World.create();
  receiver = await world.receiver();
  // A queue limit is at most fifty deliveries per slot, so that most of a backlog is deferred.
  app = await world.start({ DELIVERY_MAX_PER_WEBHOOK: '2' });
});
afterEach(() => world.stop());

const MAX_BATCH = 100;

async function publish(priority: string, count: number): Promise<void> {
  for (let left = count; left > 0; left -= MAX_BATCH) {
    const events = Array.from({ length: Math.min(left, MAX_BATCH) }, () => ({
      type: 'urgency.event',
      priority,
      data: { priority },
    }));
    await app.api.post('/events/batch', { events }, 202);
  }
}

const priorityOf = ({ json }: ReceivedRequest): string =>
  (json.data as { priority: string }).priority;
const received = (priority: string): number =>
  receiver.requests.filter((request) => priorityOf(request) === priority).length;

const answerAfter = (ms: number) =>
  receiver.reply((response) => void setTimeout(() => response.end(), ms));

const WEBHOOKS: [string, object][] = [
  ['without settings of its own', {}],
  ['with a rate limit', { rateLimit: { max: 10, perMs: 100 } }],
  ['with a limit of requests at once', { maxConcurrency: 2 }],
];

describe.each(WEBHOOKS)('the backlog of a webhook %s', (_, settings) => {
  it('is overtaken by what is more urgent', async () => {
    answerAfter(10);
    await app.api.webhook(receiver.url(), ['urgency.*'], settings);
    await publish('low', 800);
    await eventually(() => expect(received('low')).toBeGreaterThan(0));
    await publish('high', 5);
    const before = received('low');
    await eventually(() => expect(received('high')).toBe(5));
    const last = receiver.requests.findLastIndex((request) => priorityOf(request) === 'high');
    // At most what was in the queue already, which is a hundred.
    expect(last + 1 - 5 - before).toBeLessThan(200);
    expect(before).toBeLessThan(500);
  });

  it('gets its turns in a steady stream of what is more urgent', async () => {
    answerAfter(10);
    await app.api.webhook(receiver.url(), ['urgency.*'], settings);
    let published = 300;
    await publish('high', published);
    await publish('low', 20);
    let fewest = Infinity;
    await eventually(async () => {
      const waiting = published - received('high');
      fewest = Math.min(fewest, waiting);
      if (waiting < 300) {
        published += MAX_BATCH;
        await publish('high', MAX_BATCH);
      }
      expect(received('low')).toBe(20);
    });
    expect(fewest).toBeGreaterThan(0);
  });
});

describe.each<[string, object]>([
  ['without settings of its own', {}],
  ['with a rate limit', { rateLimit: { max: 600, perMs: 60_000 } }],
  ['with a limit of requests at once', { maxConcurrency: 10 }],
])('a fresh burst to a webhook %s', (_, settings) => {
  const SLOTS = 10;

  /** It has not answered yet when they come, so that its speed is not known. */
  it.each([20, 80])('delays what is more urgent by about a turn, if it takes %d ms', async (ms) => {
    const { api } = await world.start({ DELIVERY_MAX_PER_WEBHOOK: String(SLOTS) });
    answerAfter(ms);
    await api.webhook(receiver.url(), ['burst.*'], settings);
    const low = { type: 'burst.event', priority: 'low', data: { priority: 'low' } };
    await api.post('/events/batch', { events: Array.from({ length: 600 }, () => low) }, 202);
    await eventually(() => expect(received('low')).toBeGreaterThan(SLOTS));
    for (const priority of ['high', 'normal', 'high']) {
      const { id } = await api.publish({ ...low, priority, data: { priority } });
      const before = received('low');
      const isThere = () => receiver.requests.some(({ json }) => json.id === id);
      await eventually(() => expect(isThere()).toBe(true));
      const at = receiver.requests.findIndex(({ json }) => json.id === id);
      const passed = receiver.requests.slice(0, at).filter((r) => priorityOf(r) === 'low').length;
      // Those in the slots, and a turn or two on a busy machine.
      expect(passed - before).toBeLessThanOrEqual(4 * SLOTS);
    }
  });
});

describe('the backlog of a webhook with batch', () => {
  const events = ({ body }: ReceivedRequest) =>
    JSON.parse(body) as { id: string; data: { priority: string } }[];
  const prioritiesIn = (request: ReceivedRequest) =>
    events(request).map(({ data }) => data.priority);

  it.each<[string, object, string]>([
    ['is overtaken by what is more urgent', {}, 'high'],
    ['is still sent in its order, if it has one', { ordering: 'fifo' }, 'low'],
  ])('%s', async (_, settings, second) => {
    const answers: (() => void)[] = [];
    receiver.reply((response) => void answers.push(() => response.end()));
    await app.api.webhook(receiver.url(), ['urgency.*'], {
      ...settings,
      batch: { maxEvents: 4, maxWaitMs: 0 },
    });
    await publish('low', 12);
    await eventually(() => expect(answers).toHaveLength(1));
    await publish('high', 8);
    receiver.reply(200);
    answers[0]!();
    await eventually(() => expect(receiver.requests.flatMap(events)).toHaveLength(20));
    // One in eight is the oldest of any priority, so each of the next two may have a low one.
    const next = receiver.requests.flatMap(prioritiesIn).slice(4, 12);
    const favoured = next.filter((priority) => priority === second);
    expect(favoured.length).toBeGreaterThanOrEqual(6);
    for (const request of receiver.requests) {
      const ids = events(request).map(({ id }) => id);
      expect(ids).toEqual([...ids].sort());
    }
  });
});

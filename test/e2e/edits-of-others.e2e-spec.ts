import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import { eventually } from '../support/eventually.js';
import { tokenFor } from '../support/tokens.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { forNewOwner, type RunningApp, World } from '../support/world.js';

const LOOPS = 30;
const EVENTS = 60;

let world: World;
let app: RunningApp;
let receiver: WebhookReceiver;

beforeAll(async () => {
  world = await World.create();
  app = await world.start();
  receiver = await world.receiver();
});
afterAll(() => world.stop());

/** Edits of one owner, each repeated in many loops at once. */
const EDITS: [what: string, edit: (api: ApiClient, id: string, n: number) => Promise<unknown>][] = [
  ['renames inactive webhooks', (api, id, n) => patch(api, id, { name: `n${n}` })],
  ['switches webhooks on and off', (api, id, n) => patch(api, id, { active: n % 2 === 0 })],
  ['changes patterns', (api, id, n) => patch(api, id, { active: true, events: [`edit.e${n}`] })],
  ['changes dispatch policies', (api, id, n) => patch(api, id, policy(n))],
  [
    'rotates secrets',
    (api, id) => api.request('POST', `/webhooks/${id}/rotate-secret`, { overlapMs: 0 }),
  ],
  [
    'registers and deletes webhooks',
    async (api) => {
      const { id } = await api.webhook('http://127.0.0.1:1024/', ['edit.none']);
      await api.delete(`/webhooks/${id}`);
    },
  ],
  ['registers API keys', (api, _id, n) => api.request('POST', '/api-keys', { name: `key ${n}` })],
];

const policy = (n: number) => ({ active: true, ordering: n % 2 === 0 ? 'fifo' : 'none' });

const patch = (api: ApiClient, id: string, change: object): Promise<unknown> =>
  api.request('PATCH', `/webhooks/${id}`, change);

/** Repeats the edit in all loops until it is stopped; any answer will do. */
async function editing([, edit]: (typeof EDITS)[number]): Promise<{
  count: () => number;
  stop: () => Promise<void>;
}> {
  const { api } = forNewOwner(app);
  const webhooks = await Promise.all(
    Array.from({ length: LOOPS }, () =>
      api.webhook('http://127.0.0.1:1024/', ['edit.none'], { active: false }),
    ),
  );
  const stopping = new AbortController();
  let edits = 0;
  const loops = webhooks.map(async ({ id }) => {
    while (!stopping.signal.aborted) {
      await edit(api, id, edits++).catch(() => undefined);
    }
  });
  return {
    count: () => edits,
    stop: async () => {
      stopping.abort();
      await Promise.all(loops);
    },
  };
}

describe.each(EDITS)('while one owner %s', (...edit) => {
  it.each([
    ['of another owner', () => tokenFor(`owner-${edit[0]}`), undefined],
    ['that are public', () => undefined, `public.${edit[0].replaceAll(/\W/g, '_')}`],
  ])('events %s are all accepted and delivered', async (_which, token, publicType) => {
    const given = token();
    const api = given === undefined ? app.api : app.api.as(given);
    const type = publicType ?? 'trade.made';
    await api.webhook(receiver.url(), [type]);
    const edits = await editing(edit);
    try {
      await eventually(() => expect(edits.count()).toBeGreaterThan(LOOPS));
      const ids: string[] = [];
      for (let n = 0; n < EVENTS; n++) {
        const { status, body } = await api.request('POST', '/events', { type, data: n });
        expect({ status, body }).toMatchObject({ status: 202 });
        ids.push(body.id);
      }
      await eventually(() => {
        const received = receiver.requests.map(({ json }) => json.id);
        expect(ids.filter((id) => received.filter((one) => one === id).length !== 1)).toEqual([]);
      });
    } finally {
      await edits.stop();
    }
  });
});

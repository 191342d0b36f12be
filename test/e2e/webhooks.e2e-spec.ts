import { Client } from 'pg';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import {
  type DeliveryBody,
  type EventBody,
  everyPage,
  expectProblem,
  type PageBody,
  read,
  type WebhookBody,
} from '../support/bodies.js';
import { eventually } from '../support/eventually.js';
import { waitingForLocks } from '../support/locks.js';
import { tokenFor } from '../support/tokens.js';
import { type ReceivedRequest, verify, type WebhookReceiver } from '../support/webhook-receiver.js';
import { World } from '../support/world.js';

let world: World;
let source: DataSource;
let receiver: WebhookReceiver;
let api: ApiClient;
/** The same owner at another process of the product. */
let other: ApiClient;

beforeAll(async () => {
  world = await World.create();
  receiver = await world.receiver();
  const first = await world.start();
  source = first.app.get(DataSource);
  api = first.api.as(tokenFor('ann'));
  other = (await world.start()).api.as(tokenFor('ann'));
});
afterAll(() => world.stop());

const webhookAt = (path: string, events: string[], more: object = {}): Promise<WebhookBody> =>
  read(api.webhook(receiver.url(path), events, more));

/** Publishes an event of a type and waits for it at a path. */
async function delivered(type: string, path: string): Promise<ReceivedRequest> {
  const { id } = await read<EventBody>(api.publish({ type }));
  return eventually(() => {
    const request = receiver.of(path).find(({ json }) => json.id === id);
    expect(request, `${type} at ${path}`).toBeDefined();
    return request!;
  });
}

const deliveryOf = async (webhook: WebhookBody): Promise<DeliveryBody> => {
  const { data } = await read<PageBody<DeliveryBody>>(
    api.get(`/webhooks/${webhook.id}/deliveries`),
  );
  expect(data).toHaveLength(1);
  return data[0]!;
};

describe('a webhook', () => {
  it('is registered, read, changed and deleted', async () => {
    const settings = {
      name: 'Settlement',
      description: 'Books trades',
      timeoutMs: 5_000,
      retryPolicy: { baseMs: 10, factor: 2, maxMs: 1_000, maxAttempts: 3 },
    };
    const { secret, ...created } = await webhookAt('/life', ['life.*', 'life.*'], settings);
    expect(secret).toMatch(/^whsec_/);
    expect(created).toMatchObject({
      ...settings,
      ownerId: 'ann',
      url: receiver.url('/life'),
      events: ['life.*'],
      headers: [],
      active: true,
      disabledReason: null,
    });
    const path = `/webhooks/${created.id}`;
    expect(await api.get(path)).toEqual(created);

    const changed = await read<WebhookBody>(
      api.patch(path, { name: 'Risk', events: ['other.*', 'life.x'] }),
    );
    const { updatedAt } = changed;
    expect(changed).toEqual({ ...created, name: 'Risk', events: ['other.*', 'life.x'], updatedAt });
    expect(updatedAt > created.updatedAt).toBe(true);
    expect(await api.get(path)).toEqual(changed);

    await api.delete(path);
    for (const method of ['GET', 'PATCH', 'DELETE']) {
      expectProblem(
        await api.request(method, path, method === 'PATCH' ? { name: 'x' } : undefined),
        404,
      );
    }
    const listed = await read<PageBody<WebhookBody>>(api.get('/webhooks'));
    expect(listed.data.map(({ id }) => id)).not.toContain(created.id);
  });

  it('goes back to the defaults where it is changed to null', async () => {
    const { id } = await webhookAt('/reset', ['reset.x'], {
      name: 'n',
      description: 'd',
      headers: { 'X-A': 'a' },
      timeoutMs: 1_000,
      retryPolicy: { schedule: [] },
    });
    const nothing = { name: null, description: null, timeoutMs: null, retryPolicy: null };
    const reset = await api.patch(`/webhooks/${id}`, { ...nothing, headers: null });
    expect(reset).toMatchObject({ ...nothing, headers: [] });
    const request = await delivered('reset.x', '/reset');
    expect(request.headers['x-a']).toBeUndefined();
  });

  it('keeps both of two changes that are made at the same time', async () => {
    const rateLimit = { max: 5, perMs: 1_000 };
    const batch = { maxEvents: 5, maxWaitMs: 10 };
    const { id } = await webhookAt('/kept', ['kept.x']);
    let changes: Promise<unknown>[] = [];
    await source.transaction(async (tx) => {
      await tx.query('SELECT 1 FROM webhooks WHERE id = $1 FOR UPDATE', [id]);
      changes = [{ rateLimit }, { batch }].map((change) => api.patch(`/webhooks/${id}`, change));
      await eventually(async () => expect(await waitingForLocks(source)).toBe(2));
    });
    await Promise.all(changes);
    expect(await api.get(`/webhooks/${id}`)).toMatchObject({ rateLimit, batch });
  });

  it('sends its own headers, and shows no more than their names', async () => {
    const headers = { Authorization: 'Bearer a-canary-token', 'X-Tenant': 'a-canary-tenant' };
    const created = await webhookAt('/headers', ['headers.x'], { headers });
    expect(created.headers).toEqual(['Authorization', 'X-Tenant']);
    const request = await delivered('headers.x', '/headers');
    expect(request.headers).toMatchObject({
      authorization: 'Bearer a-canary-token',
      'x-tenant': 'a-canary-tenant',
    });
    const changed = await api.patch(`/webhooks/${created.id}`, { headers: { 'X-B': 'canary-b' } });
    const listed = await api.get('/webhooks?limit=200');
    expect(JSON.stringify([created, changed, listed])).not.toContain('canary');
    const next = await delivered('headers.x', '/headers');
    expect(next.headers).toMatchObject({ 'x-b': 'canary-b' });
    expect(next.headers['x-tenant']).toBeUndefined();
  });

  it('no longer receives what it no longer subscribes to, and receives what it then does', async () => {
    const webhook = await webhookAt('/moving', ['moving.from']);
    await delivered('moving.from', '/moving');
    await api.patch(`/webhooks/${webhook.id}`, { events: ['moving.to'] });
    await api.publish({ type: 'moving.from' });
    await delivered('moving.to', '/moving');
    const types = receiver.of('/moving').map(({ json }) => json.type);
    expect(types).toEqual(['moving.from', 'moving.to']);
  });
});

describe('a list of webhooks', () => {
  it('is paged without gaps and repetitions while others are registered', async () => {
    const owner = api.as(tokenFor('pages'));
    const ids: string[] = [];
    const register = async () => {
      const created = await read<WebhookBody>(owner.webhook(receiver.url(), ['pages.x']));
      ids.push(created.id);
    };
    for (let n = 0; n < 7; n++) await register();
    const existing = [...ids].reverse();
    const seen = await everyPage<WebhookBody>(async (query) => {
      const page = await owner.get(`/webhooks?${query}`);
      await register();
      return page;
    }, 2);
    expect(seen.map(({ id }) => id)).toEqual(existing);
  });

  it('can be narrowed to those that are switched on or off', async () => {
    const owner = api.as(tokenFor('switches'));
    const on = await read<WebhookBody>(owner.webhook(receiver.url(), ['a']));
    const off = await read<WebhookBody>(owner.webhook(receiver.url(), ['a'], { active: false }));
    for (const [query, id] of [
      ['active=true', on.id],
      ['active=false', off.id],
    ]) {
      const { data } = await read<PageBody<WebhookBody>>(owner.get(`/webhooks?${query}`));
      expect(data.map((webhook) => webhook.id)).toEqual([id]);
    }
  });
});

describe('a signing secret', () => {
  const bytes = Buffer.from('0123456789abcdef0123456789abcdef');

  it.each([
    ['that is generated', undefined, /^whsec_[A-Za-z0-9+/]{43}=$/],
    ['in whsec_ form', `whsec_${bytes.toString('base64')}`, `whsec_${bytes.toString('base64')}`],
    ['without padding', `whsec_${bytes.toString('base64').replace('=', '')}`, /^whsec_/],
    ['of 16 plain characters', 'sixteen-chars-ok', /^whsec_c2l4dGVlbi1jaGFycy1vaw==$/],
    [
      'of 64 plain characters',
      'p'.repeat(64),
      `whsec_${Buffer.from('p'.repeat(64)).toString('base64')}`,
    ],
  ])('%s is shown so that libraries verify with it', async (name, secret, shown) => {
    const path = `/secret-${name.replaceAll(/\W/g, '-')}`;
    const type = `secret.${path.slice(1)}`;
    const created = await webhookAt(path, [type], secret === undefined ? {} : { secret });
    expect(created.secret).toMatch(shown);
    verify(await delivered(type, path), created.secret);
    const rotated = await read<WebhookBody>(
      api.post(`/webhooks/${created.id}/rotate-secret`, { secret, overlapMs: 0 }, 200),
    );
    expect(rotated.secret).toMatch(shown);
    verify(await delivered(type, path), rotated.secret);
  });

  it('is a new one for every webhook', async () => {
    const [a, b] = [await webhookAt('/a', ['x.y']), await webhookAt('/a', ['x.y'])];
    expect(a.secret).not.toBe(b.secret);
  });

  it('is shown when it is made and never again', async () => {
    const { id, secret } = await webhookAt('/shown', ['shown.x']);
    const path = `/webhooks/${id}`;
    await delivered('shown.x', '/shown');
    const delivery = await read<PageBody<DeliveryBody>>(api.get(`${path}/deliveries`));
    const answers = [
      await api.get(path),
      await api.get('/webhooks?limit=200'),
      await api.patch(path, { name: 'x' }),
      await api.post(`${path}/test`, undefined, 200),
      delivery,
      await api.get(`/deliveries/${delivery.data[0]!.id}`),
      (await api.request('POST', '/webhooks', { url: 'x', events: ['a'], secret })).body,
      (await api.request('PATCH', path, { secret })).body,
    ];
    for (const form of formsOf(secret)) expect(JSON.stringify(answers)).not.toContain(form);
  });

  it('lies in the database in no readable form, and neither do header values', async () => {
    const headers = { 'X-Token': 'header-canary-0123456789' };
    const { id, secret } = await webhookAt('/rest', ['rest.x'], { headers });
    const rotated = await read<WebhookBody>(api.post(`/webhooks/${id}/rotate-secret`, {}, 200));
    const plain = await webhookAt('/rest', ['rest.x'], { secret: 'a-plain-canary-secret' });
    const client = new Client({ connectionString: world.database.url });
    await client.connect();
    const { rows } = await client.query<{ row: string }>('SELECT w::text AS row FROM webhooks w');
    await client.end();
    const stored = rows.map(({ row }) => row).join('\n');
    expect(stored).toContain(id);
    const secrets = [secret, rotated.secret, plain.secret].flatMap(formsOf);
    const values = formsOf(`whsec_${Buffer.from(headers['X-Token']).toString('base64')}`);
    for (const form of [...secrets, ...values]) expect(stored).not.toContain(form);
  });

  it('signs beside the new one until the overlap ends', async () => {
    const first = await webhookAt('/overlap', ['overlap.x']);
    const second = await read<WebhookBody>(
      api.post(`/webhooks/${first.id}/rotate-secret`, { overlapMs: 60_000 }, 200),
    );
    expect(second.secret).not.toBe(first.secret);
    const both = await delivered('overlap.x', '/overlap');
    expect(String(both.headers['webhook-signature']).split(' ')).toHaveLength(2);
    verify(both, first.secret);
    verify(both, second.secret);

    const third = await read<WebhookBody>(
      api.post(`/webhooks/${first.id}/rotate-secret`, { overlapMs: 0 }, 200),
    );
    const one = await delivered('overlap.x', '/overlap');
    expect(String(one.headers['webhook-signature']).split(' ')).toHaveLength(1);
    verify(one, third.secret);
    expect(() => verify(one, first.secret)).toThrow();
    expect(() => verify(one, second.secret)).toThrow();
  });

  it('ends when its overlap does', async () => {
    const first = await webhookAt('/ends', ['ends.x']);
    const second = await read<WebhookBody>(
      api.post(`/webhooks/${first.id}/rotate-secret`, { overlapMs: 1 }, 200),
    );
    await eventually(async () => {
      const request = await delivered('ends.x', '/ends');
      verify(request, second.secret);
      expect(() => verify(request, first.secret)).toThrow();
    });
  });

  it('is one of at most ten that sign at once', async () => {
    const { id } = await webhookAt('/many', ['many.x']);
    let last = '';
    for (let n = 0; n < 12; n++) {
      const rotated = await read<WebhookBody>(api.post(`/webhooks/${id}/rotate-secret`, {}, 200));
      last = rotated.secret;
    }
    const request = await delivered('many.x', '/many');
    expect(String(request.headers['webhook-signature']).split(' ')).toHaveLength(10);
    verify(request, last);
  });

  /** The forms in which a secret could be found. */
  function formsOf(secret: string): string[] {
    const key = Buffer.from(secret.replace('whsec_', ''), 'base64');
    const printable = /^[\x20-\x7e]+$/.test(key.toString('latin1')) ? [key.toString()] : [];
    const encodings = ['base64', 'base64url', 'hex'] as const;
    return [...encodings.map((encoding) => key.toString(encoding)), ...printable];
  }
});

describe('a webhook that is switched off', () => {
  it('gets no new events', async () => {
    const off = await webhookAt('/off', ['off.x'], { active: false });
    await webhookAt('/on', ['off.x']);
    const missed = await delivered('off.x', '/on');
    const pending = await read<{ data: DeliveryBody[] }>(
      api.get(`/events/${missed.json.id}/deliveries`),
    );
    expect(pending.data.map(({ webhookId }) => webhookId)).not.toContain(off.id);
    await api.patch(`/webhooks/${off.id}`, { active: true });
    const last = await delivered('off.x', '/off');
    expect(receiver.of('/off').map(({ json }) => json.id)).toEqual([last.json.id]);
  });

  it('keeps its pending deliveries until it is switched on again', async () => {
    const failing = await world.receiver();
    failing.reply(503);
    const retryPolicy = { schedule: Array.from({ length: 50 }, () => 100) };
    const webhook = await read<WebhookBody>(
      api.webhook(failing.url(), ['waiting.x'], { retryPolicy }),
    );
    await api.publish({ type: 'waiting.x' });
    await eventually(() => expect(failing.requests.length).toBeGreaterThan(0));
    await api.patch(`/webhooks/${webhook.id}`, { active: false });
    await eventually(async () =>
      expect(await deliveryOf(webhook)).toMatchObject({ status: 'retrying', nextAttemptAt: null }),
    );
    const before = failing.requests.length;
    // The control: a webhook that is on makes its retries in the same time.
    receiver.reply(503, 503, 503, 200);
    await webhookAt('/control', ['waiting.control']);
    await api.publish({ type: 'waiting.control' });
    await receiver.expectRequests(4, '/control');
    expect(failing.requests).toHaveLength(before);

    failing.reply(200);
    await api.patch(`/webhooks/${webhook.id}`, { active: true });
    await eventually(async () =>
      expect(await deliveryOf(webhook)).toMatchObject({ status: 'success' }),
    );
    expect(failing.requests).toHaveLength(before + 1);
  });

  it('that is deleted gets its pending deliveries canceled', async () => {
    const failing = await world.receiver();
    failing.reply(503);
    const webhook = await read<WebhookBody>(
      api.webhook(failing.url(), ['gone.x'], { retryPolicy: { schedule: [3_600_000] } }),
    );
    await api.publish({ type: 'gone.x' });
    await eventually(() => expect(failing.requests).toHaveLength(1));
    const { id } = await deliveryOf(webhook);
    await api.delete(`/webhooks/${webhook.id}`);
    await eventually(async () =>
      expect(await api.get(`/deliveries/${id}`)).toMatchObject({ status: 'canceled' }),
    );
    expect(failing.requests).toHaveLength(1);
    await webhookAt('/after', ['gone.x']);
    await delivered('gone.x', '/after');
  });
});

describe('with two processes on one database', () => {
  it('an event that one takes right after the other has registered a webhook goes there', async () => {
    for (let n = 0; n < 25; n++) {
      const type = `race.n${n}`;
      const [registers, publishes] = n % 2 === 0 ? [api, other] : [other, api];
      const webhook = await read<WebhookBody>(registers.webhook(receiver.url('/race'), [type]));
      const event = await read<EventBody>(publishes.publish({ type }));
      // A worker may have to match it first.
      await eventually(async () => {
        const pending = await read<{ data: DeliveryBody[] }>(
          publishes.get(`/events/${event.id}/deliveries`),
        );
        expect(pending.data.map(({ webhookId }) => webhookId)).toEqual([webhook.id]);
      });
    }
    await receiver.expectRequests(25, '/race');
  });

  it('a change that one makes is the other’s as well', async () => {
    const webhook = await webhookAt('/before', ['both.x']);
    const path = `/webhooks/${webhook.id}`;
    await api.patch(path, { url: receiver.url('/changed'), headers: { 'X-New': '1' } });
    expect(await other.get(path)).toMatchObject({ url: receiver.url('/changed') });
    const rotated = await read<WebhookBody>(
      api.post(`${path}/rotate-secret`, { overlapMs: 0 }, 200),
    );
    await other.publish({ type: 'both.x' });
    const [request] = await receiver.expectRequests(1, '/changed');
    verify(request!, rotated.secret);
    expect(request!.headers['x-new']).toBe('1');

    await api.patch(path, { active: false });
    const missed = await read<EventBody>(other.publish({ type: 'both.x' }));
    expect(await other.get(`/events/${missed.id}/deliveries`)).toEqual({ data: [] });
    await other.patch(path, { active: true });
    await api.publish({ type: 'both.x' });
    await receiver.expectRequests(2, '/changed');
    await other.delete(path);
    const late = await read<EventBody>(api.publish({ type: 'both.x' }));
    expect(await api.get(`/events/${late.id}/deliveries`)).toEqual({ data: [] });
    expect(receiver.of('/before')).toEqual([]);
  });
});

describe('a test of a webhook', () => {
  it('sends a signed event now and answers with the result', async () => {
    const webhook = await webhookAt('/test', ['tested.x']);
    receiver.reply({ status: 201, body: 'thanks' }, 200);
    const result = await read<{ eventId: string }>(
      api.post(`/webhooks/${webhook.id}/test`, undefined, 200),
    );
    expect(result).toMatchObject({
      delivered: true,
      attempt: { number: 1, statusCode: 201, error: null, responseBody: 'thanks' },
    });
    const [request] = receiver.of('/test');
    verify(request!, webhook.secret);
    expect(request!.json).toMatchObject({ id: result.eventId, type: 'webhook.test' });
  });

  it('reports a receiver that refuses, or is not there', async () => {
    const refusing = await webhookAt('/refusing', ['tested.x']);
    receiver.reply({ status: 500, body: 'no' }, 200);
    expect(await api.post(`/webhooks/${refusing.id}/test`, undefined, 200)).toMatchObject({
      delivered: false,
      attempt: { statusCode: 500, error: 'http', responseBody: 'no' },
    });
    const closed = await world.receiver();
    const absent = await read<WebhookBody>(api.webhook(closed.url(), ['tested.x']));
    await closed.close();
    expect(await api.post(`/webhooks/${absent.id}/test`, undefined, 200)).toMatchObject({
      delivered: false,
      attempt: { statusCode: null, error: 'connect', responseBody: null },
    });
  });

  it('leaves no trace in the log or the history', async () => {
    const webhook = await webhookAt('/trace', ['*'], { active: false });
    const result = await read<{ eventId: string }>(
      api.post(`/webhooks/${webhook.id}/test`, undefined, 200),
    );
    expectProblem(await api.request('GET', `/events/${result.eventId}`), 404);
    expect(await api.get(`/webhooks/${webhook.id}/deliveries`)).toMatchObject({ data: [] });
  });
});

describe('a webhook whose secret this process cannot open', () => {
  it('keeps its deliveries until a node comes that can send them', async () => {
    const own = await World.create();
    const receiver = await own.receiver();
    const right = await own.start({});
    const { id } = await right.api.webhook(receiver.url(), ['kept.*']);
    await right.app.close();
    const wrong = await own.start({ SECRETS_KEY: Buffer.alloc(32, 9).toString('base64') });
    const event = await wrong.api.post('/events', { type: 'kept.event', data: {} }, 202);
    await eventually(async () => {
      const { data } = await wrong.api.get(`/events/${event.id}/deliveries`);
      expect(data).toMatchObject([
        { webhookId: id, status: 'pending', lastError: 'webhook_inactive' },
      ]);
    });
    await wrong.app.close();
    await own.start({});
    await eventually(() => {
      expect(receiver.requests.map(({ json }) => json.id)).toEqual([event.id]);
    });
    await own.stop();
  });
});

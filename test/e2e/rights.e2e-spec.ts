import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { PRINCIPAL_ROLES, type PrincipalRole } from '../../src/shared/roles.js';
import type { Answer, ApiClient } from '../support/api-client.js';
import { expectProblem } from '../support/bodies.js';
import {
  bodyOf,
  pathOf,
  readDocument,
  type Route,
  routesOf,
} from '../support/documented-routes.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { eventually } from '../support/eventually.js';
import { SocketClient } from '../support/socket-client.js';
import { tokenFor } from '../support/tokens.js';
import { WebSocketClient } from '../support/websocket-client.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

const READERS: PrincipalRole[] = ['admin', 'operator', 'manager'];
const MANAGERS: PrincipalRole[] = ['admin', 'manager'];
const LISTENERS: PrincipalRole[] = ['admin', 'operator', 'subscriber'];
const CATALOGUE: PrincipalRole[] = ['admin', 'operator', 'manager', 'publisher', 'subscriber'];

/** Who may call each route of the OpenAPI document; all others get 403. A new route needs an entry. */
const ALLOWED: Record<string, PrincipalRole[] | 'public'> = {
  'POST /api/v1/events': ['admin', 'publisher', 'producer'],
  'POST /api/v1/events/batch': ['admin', 'publisher', 'producer'],
  'GET /api/v1/events': ['admin', 'operator', 'manager', 'subscriber'],
  'GET /api/v1/events/{id}': ['admin', 'operator', 'manager', 'subscriber'],
  'GET /api/v1/events/stream': LISTENERS,
  'GET /api/v1/events/{id}/deliveries': READERS,
  'POST /api/v1/events/{id}/replay': READERS,
  'POST /api/v1/event-types': ['admin'],
  'GET /api/v1/event-types': CATALOGUE,
  'GET /api/v1/event-types/{name}': CATALOGUE,
  'PUT /api/v1/event-types/{name}': ['admin'],
  'DELETE /api/v1/event-types/{name}': ['admin'],
  'POST /api/v1/webhooks': MANAGERS,
  'GET /api/v1/webhooks': READERS,
  'GET /api/v1/webhooks/{id}': READERS,
  'PATCH /api/v1/webhooks/{id}': READERS,
  'DELETE /api/v1/webhooks/{id}': MANAGERS,
  'POST /api/v1/webhooks/{id}/rotate-secret': MANAGERS,
  'GET /api/v1/webhooks/{id}/deliveries': READERS,
  'GET /api/v1/webhooks/{id}/stats': READERS,
  'POST /api/v1/webhooks/{id}/retry/{deliveryId}': READERS,
  'POST /api/v1/webhooks/{id}/test': READERS,
  'POST /api/v1/webhooks/{id}/replay': READERS,
  'GET /api/v1/deliveries': READERS,
  'GET /api/v1/deliveries/{id}': READERS,
  'GET /api/v1/dead-letters': READERS,
  'GET /api/v1/dead-letters/{deliveryId}': READERS,
  'DELETE /api/v1/dead-letters/{deliveryId}': READERS,
  'POST /api/v1/dead-letters/redrive': READERS,
  'POST /api/v1/dead-letters/{deliveryId}/redrive': READERS,
  'GET /api/v1/operations': READERS,
  'GET /api/v1/operations/{id}': READERS,
  'DELETE /api/v1/operations/{id}': READERS,
  'POST /api/v1/api-keys': MANAGERS,
  'GET /api/v1/api-keys': MANAGERS,
  'GET /api/v1/api-keys/{id}': MANAGERS,
  'DELETE /api/v1/api-keys/{id}': MANAGERS,
  'GET /api/v1/admin/connections': ['admin', 'operator'],
  'DELETE /api/v1/admin/connections/{id}': ['admin', 'operator'],
  'POST /api/v1/admin/broadcast': ['admin', 'operator'],
  'GET /health/live': 'public',
  'GET /health/ready': 'public',
};

let world: World;
let app: RunningApp;
let receiver: WebhookReceiver;
let routes: Route[];

beforeAll(async () => {
  world = await World.create();
  receiver = await world.receiver();
  app = await world.start();
  routes = routesOf(await readDocument(app.api));
});
afterAll(() => world.stop());

const unknown = (prefix: string): string => newId(prefix as 'wh');
const as = (roles: string[], more: { topics?: string[] } = {}, owner = randomUUID()): ApiClient =>
  app.api.as(tokenFor(owner, { roles, ...more }));

/** A key that an admin creates; a bearer credential like a token. */
async function keyWith(roles: PrincipalRole[], more: object = {}): Promise<string> {
  const input = { name: 'a key', ownerId: randomUUID(), roles, ...more };
  return (await app.api.post('/api-keys', input, 201)).key;
}

async function expiredKey(): Promise<string> {
  const key = await keyWith(['admin'], { expiresAt: new Date(Date.now() + 1_000).toISOString() });
  await eventually(async () => {
    expect((await app.api.as(key).request('GET', '/webhooks')).status).toBe(401);
  });
  return key;
}

async function revokedKey(): Promise<string> {
  const { id, key } = await app.api.post('/api-keys', { name: 'a key', roles: ['admin'] }, 201);
  await app.api.as(key).get('/webhooks');
  await app.api.delete(`/api-keys/${id}`);
  return key;
}

/** Calls the route with ids that do not exist: rights are decided first. A stream is only opened. */
async function call(api: ApiClient, route: Route): Promise<Answer> {
  const path = pathOf(route, unknown);
  if (!route.isStream) return api.request(route.method, path, bodyOf(route, unknown));
  const url = `${app.baseUrl}${path.slice(1)}`;
  const response = await fetch(url, { headers: api.credential() });
  const isProblem = response.headers.get('content-type')?.includes('problem');
  const body = (isProblem ? await response.json() : {}) as Answer['body'];
  await response.body?.cancel().catch(() => undefined);
  return { status: response.status, headers: response.headers, body };
}

async function expectRights(api: ApiClient, roles: string[]): Promise<void> {
  for (const route of routes) {
    const allowed = ALLOWED[route.name]!;
    const isAllowed = allowed === 'public' || allowed.some((role) => roles.includes(role));
    const answer = await call(api, route);
    const said = `${route.name} with ${roles.join(', ')}: ${JSON.stringify(answer.body)}`;
    if (isAllowed) {
      expect(answer.status, said).toBeLessThan(500);
      expect([401, 403], said).not.toContain(answer.status);
    } else {
      expect(answer.status, said).toBe(403);
      expect(expectProblem(answer, 403).code).toBe('role_required');
    }
  }
}

describe('each route', () => {
  it('says who may call it', () => {
    expect(Object.keys(ALLOWED).toSorted()).toEqual(routes.map(({ name }) => name).toSorted());
  });

  it.each(PRINCIPAL_ROLES)('lets a token with the role %s do what it may, and no more', (role) =>
    expectRights(as([role]), [role]),
  );

  it.each(PRINCIPAL_ROLES)('lets an API key with the role %s do the same', async (role) =>
    expectRights(app.api.as(await keyWith([role])), [role]),
  );

  it.each([[[]], [['foo']], [['Admin', 'ADMIN', ' admin', 'admin ', 'root']], [['__proto__']]])(
    'is closed to a token with the roles %j',
    (roles) => expectRights(as(roles), []),
  );

  it.each([
    ['no credential', () => Promise.resolve(undefined), 'missing_credentials'],
    [
      'an expired token',
      () => Promise.resolve(tokenFor(randomUUID(), { roles: ['admin'], expiresInS: -60 })),
      'token_expired',
    ],
    ['an expired API key', expiredKey, 'api_key_expired'],
    ['a revoked API key', revokedKey, 'invalid_api_key'],
  ] as const)('is closed to %s', async (_, credential, code) => {
    const api = app.api.as(await credential());
    for (const route of routes) {
      if (ALLOWED[route.name] === 'public') continue;
      expect(expectProblem(await call(api, route), 401).code, route.name).toBe(code);
    }
  });

  it('documents who may call it', () => {
    for (const { name, operation } of routes) {
      const allowed = ALLOWED[name]!;
      if (allowed === 'public') continue;
      const said = [...(operation.description ?? '').matchAll(/`(\w+)`(?=[,.])/g)].map((m) => m[1]);
      expect(said, name).toEqual(expect.arrayContaining(allowed));
      expect(operation.responses['403'], name).toBeDefined();
    }
  });
});

describe('a live connection', () => {
  const transports: Record<string, (credential: string) => Promise<void>> = {
    'Socket.IO, auth.token': async (token) => {
      (await SocketClient.connect(app.baseUrl, { auth: { token } })).close();
    },
    'WebSocket, header': async (token) => {
      const headers = { authorization: `Bearer ${token}` };
      const client = await WebSocketClient.connect(app.baseUrl, '/ws', { headers });
      await client.next('connected');
      client.close();
    },
    'WebSocket, subprotocol': async (token) => {
      const protocols = ['bearer', token];
      const client = await WebSocketClient.connect(app.baseUrl, '/ws', { protocols });
      await client.next('connected');
      client.close();
    },
    'event stream, ?token=': async (token) => {
      const url = `${app.baseUrl}/api/v1/events/stream?token=${token}`;
      const reader = await EventStreamReader.open(url, {});
      await reader.next('connected');
      reader.close();
    },
  };
  const refused: Record<string, (credential: string) => Promise<unknown>> = {
    'Socket.IO, auth.token': async (token) =>
      (await SocketClient.refused(app.baseUrl, { auth: { token } })).data?.code,
    'WebSocket, header': async (token) => {
      const headers = { authorization: `Bearer ${token}` };
      const { status, body } = await WebSocketClient.refused(app.baseUrl, '/ws', { headers });
      expect(status).toBe(403);
      return body['code'];
    },
    'WebSocket, subprotocol': async (token) => {
      const protocols = ['bearer', token];
      return (await WebSocketClient.refused(app.baseUrl, '/ws', { protocols })).body['code'];
    },
    'event stream, ?token=': async (token) => {
      const answer = await fetch(`${app.baseUrl}/api/v1/events/stream?token=${token}`);
      expect(answer.status).toBe(403);
      return ((await answer.json()) as { code: string }).code;
    },
  };

  it.each(Object.keys(transports))('over %s is for those that receive events', async (name) => {
    for (const role of [...PRINCIPAL_ROLES, 'foo'] as const) {
      const credentials = [tokenFor(randomUUID(), { roles: [role] })];
      if (role !== 'foo') credentials.push(await keyWith([role]));
      for (const credential of credentials) {
        if (LISTENERS.some((listener) => listener === role)) await transports[name]!(credential);
        else expect(await refused[name]!(credential), role).toBe('role_required');
      }
    }
  });

  it('takes an API key as auth.apiKey, and not two credentials', async () => {
    const apiKey = await keyWith(['subscriber']);
    (await SocketClient.connect(app.baseUrl, { auth: { apiKey } })).close();
    const token = tokenFor(randomUUID());
    const both = await SocketClient.refused(app.baseUrl, { auth: { apiKey, token } });
    expect(both.data?.code).toBe('ambiguous_credentials');
  });

  it('is not refreshed with a credential that may not receive, and ends with a revoked key', async () => {
    const owner = randomUUID();
    const client = await SocketClient.connect(app.baseUrl, { auth: { token: tokenFor(owner) } });
    for (const roles of [[], ['foo'], ['publisher'], ['manager'], ['producer']]) {
      expect(
        await client.request('auth:refresh', { token: tokenFor(owner, { roles }) }),
      ).toMatchObject({
        ok: false,
        error: { code: 'role_required' },
      });
    }
    const input = { name: 'a key', ownerId: owner, roles: ['subscriber'] };
    const { id, key } = await app.api.post('/api-keys', input, 201);
    expect(await client.request('auth:refresh', { token: key })).toMatchObject({
      ok: true,
      expiresAt: null,
    });
    await app.api.delete(`/api-keys/${id}`);
    expect(await client.next('error')).toMatchObject({ code: 'invalid_api_key' });
    client.close();
  });
});

describe('an operator', () => {
  it('changes active of any webhook, and nothing else of it', async () => {
    const owner = app.api.as(tokenFor(randomUUID()));
    const webhook = await owner.webhook(receiver.url(), ['rights.x']);
    const path = `/webhooks/${webhook.id}`;
    const operator = as(['operator']);
    expect(await operator.patch(path, { active: false })).toMatchObject({ active: false });
    for (const change of [
      { url: receiver.url('/mine') },
      { active: true, headers: { 'x-key': 'y' } },
      { events: ['*'] },
      { name: 'x' },
      { retryPolicy: null },
    ]) {
      expectProblem(await operator.request('PATCH', path, change), 403);
    }
    expect(await owner.get(path)).toMatchObject({ active: false, url: webhook.url });
  });

  it('that is also a manager manages the webhooks and keys of its own owner only', async () => {
    const owner = app.api.as(tokenFor(randomUUID()));
    const foreign = await owner.webhook(receiver.url(), ['rights.x']);
    const key = await owner.post('/api-keys', { name: 'x' }, 201);
    const both = as(['operator', 'manager']);
    const own = await both.webhook(receiver.url('/own'), ['rights.x']);
    await both.patch(`/webhooks/${own.id}`, { name: 'mine' });
    await both.get(`/webhooks/${foreign.id}`);
    const path = `/webhooks/${foreign.id}`;
    expectProblem(await both.request('PATCH', path, { name: 'x' }), 403);
    expectProblem(await both.request('POST', `${path}/rotate-secret`, {}), 404);
    expectProblem(await both.request('DELETE', path), 404);
    expectProblem(await both.request('GET', `/api-keys/${key.id}`), 404);
    expectProblem(await both.request('DELETE', `/api-keys/${key.id}`), 404);
    const input = { url: receiver.url(), events: ['a'], ownerId: 'other' };
    expectProblem(await both.request('POST', '/webhooks', input), 403);
  });
});

describe('a producer', () => {
  it('publishes for any owner, and to all of them', async () => {
    const producer = as(['producer']);
    const owner = randomUUID();
    const theirs = await producer.publish({ type: 'rights.for', ownerId: owner });
    const all = await producer.publish({ type: 'rights.all' });
    expect(await app.api.get(`/events/${theirs.id}`)).toMatchObject({ ownerId: owner });
    expect(await app.api.get(`/events/${all.id}`)).toMatchObject({ ownerId: null });
  });
});

describe('a credential with topics', () => {
  const MARK = `secret-${randomUUID()}`;

  /** Things of the owner, with the mark in all bodies; the delivery is a dead letter. */
  async function things(owner: string): Promise<Record<string, string>> {
    const api = app.api.as(tokenFor(owner));
    receiver.reply((response, { body }) => response.writeHead(500).end(body));
    const more = { retryPolicy: { schedule: [] } };
    const webhook = await api.webhook(receiver.url(), ['hidden.*'], more);
    const data = { text: MARK };
    const event = await api.publish({ type: 'hidden.a', subject: MARK, source: MARK, data });
    const dlv = await eventually(async () => {
      const { data: letters } = await api.get(`/dead-letters?webhookId=${webhook.id}`);
      expect(letters).toHaveLength(1);
      return letters[0]!.id;
    });
    const replay = { since: '2026-01-31T12:00:00Z', types: ['nothing.at-all'] };
    const operation = await api.post(`/webhooks/${webhook.id}/replay`, replay, 202);
    return { wh: webhook.id, evt: event.id, dlv, op: operation.id };
  }

  it.each<PrincipalRole[]>([
    ['manager'],
    ['subscriber'],
    ['admin'],
    ['operator'],
    [...PRINCIPAL_ROLES],
  ])('reads nothing outside of them with the roles %s %s %s %s %s %s', async (...roles) => {
    const owner = randomUUID();
    const ids = await things(owner);
    const limited = as(roles, { topics: ['seen.*'] }, owner);
    let read = 0;
    for (const route of routes) {
      if (route.method !== 'GET' || route.isStream) continue;
      const answer = await limited.request(
        'GET',
        pathOf(route, (p) => ids[p] ?? unknown(p)),
      );
      expect(JSON.stringify(answer.body), route.name).not.toContain(MARK);
      if (answer.status === 200) read++;
    }
    expect(read).toBeGreaterThan(3);
    if (roles.includes('subscriber')) {
      const token = tokenFor(owner, { roles, topics: ['seen.*'] });
      const client = await SocketClient.connect(app.baseUrl, { auth: { token } });
      for (const type of ['hidden.a', 'hidden.*', '*']) {
        const answer = await client.request('subscribe', { topics: [type] });
        expect(answer).toMatchObject({ ok: false, error: { code: 'forbidden' } });
      }
      client.close();
    }
  });

  it('sends nothing outside of them to a receiver of its own', async () => {
    const owner = randomUUID();
    const ids = await things(owner);
    const whole = app.api.as(tokenFor(owner));
    // The webhook may be changed by the limited one now, but its history was wider.
    await whole.patch(`/webhooks/${ids['wh']}`, { events: ['seen.*'] });
    const limited = as(['manager'], { topics: ['seen.*'] }, owner);
    await limited.patch(`/webhooks/${ids['wh']}`, { url: receiver.url(`/stolen/${owner}`) });
    const { wh, evt, dlv } = ids as { wh: string; evt: string; dlv: string };
    expectProblem(await limited.request('POST', `/webhooks/${wh}/retry/${dlv}`), 404);
    expectProblem(await limited.request('POST', `/dead-letters/${dlv}/redrive`), 404);
    expectProblem(await limited.request('DELETE', `/dead-letters/${dlv}`), 404);
    expectProblem(await limited.request('POST', '/dead-letters/redrive', { ids: [dlv] }), 404);
    expectProblem(await limited.request('POST', `/events/${evt}/replay`, {}), 404);
    const since = new Date(Date.now() - 60_000).toISOString();
    for (const [path, body] of [
      ['/dead-letters/redrive', { all: true }],
      [`/webhooks/${wh}/replay`, { since }],
      [`/webhooks/${wh}/replay`, { since, types: ['hidden.*'], status: 'dead_letter' }],
    ] as const) {
      expect(await limited.post(path, body, 202), path).toMatchObject({ count: 0 });
    }
    expect(receiver.of(`/stolen/${owner}`)).toEqual([]);
  });

  it('does not touch webhooks that receive more', async () => {
    const owner = randomUUID();
    const whole = app.api.as(tokenFor(owner));
    const { id } = await whole.webhook(receiver.url(), ['hidden.*']);
    const limited = as(['manager'], { topics: ['seen.*'] }, owner);
    for (const [method, path, body] of [
      ['PATCH', `/webhooks/${id}`, { events: ['seen.*'], url: receiver.url('/mine') }],
      ['PATCH', `/webhooks/${id}`, { active: false }],
      ['POST', `/webhooks/${id}/rotate-secret`, {}],
      ['DELETE', `/webhooks/${id}`, undefined],
    ] as const) {
      expectProblem(await limited.request(method, path, body), 403);
    }
    expect(await whole.get(`/webhooks/${id}`)).toMatchObject({ active: true });
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
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
import {
  bodyOf,
  pathOf,
  readDocument,
  type Route,
  routesOf,
} from '../support/documented-routes.js';
import { eventually } from '../support/eventually.js';
import { liveConnection } from '../support/live-connection.js';
import { tokenFor } from '../support/tokens.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let app: RunningApp;
let receiver: WebhookReceiver;
let ann: ApiClient;
/** Another user of the tenant of `ann`. */
let colleague: ApiClient;
let bob: ApiClient;
let routes: Route[];

beforeAll(async () => {
  world = await World.create();
  receiver = await world.receiver();
  app = await world.start();
  ann = app.api.as(tokenFor('alice', { tenant: 'ann' }));
  colleague = app.api.as(tokenFor('carl', { tenant: 'ann' }));
  bob = app.api.as(tokenFor('bob'));
  routes = routesOf(await readDocument(app.api));
});
afterAll(() => world.stop());

/** An id of each kind, all of one owner; the delivery is a dead letter. */
type Ids = Record<string, string>;

async function things(owner: ApiClient, type: string): Promise<Ids> {
  const url = receiver.url('/fails');
  const webhook = await read<WebhookBody>(
    owner.webhook(url, [type], { retryPolicy: { schedule: [] } }),
  );
  receiver.reply((response, { path }) => response.writeHead(path === '/fails' ? 500 : 200).end());
  const event = await read<EventBody>(owner.publish({ type }));
  const delivery = await eventually(async () => {
    const { data } = await read<PageBody<DeliveryBody>>(
      owner.get(`/dead-letters?webhookId=${webhook.id}`),
    );
    expect(data).toHaveLength(1);
    return data[0]!;
  });
  const key = await read<{ id: string }>(owner.post('/api-keys', { name: 'a key' }, 201));
  const path = `/webhooks/${webhook.id}/replay`;
  const none = { since: '2026-01-31T12:00:00Z', types: ['nothing.at-all'] };
  const operation = await read<{ id: string }>(owner.post(path, none, 202));
  const con = await liveConnection(app, 'ann');
  return { wh: webhook.id, evt: event.id, dlv: delivery.id, key: key.id, op: operation.id, con };
}

const unknown = (prefix: string): string => newId(prefix as 'wh');

describe('every route with an id', () => {
  it('is among those that are tried here', () => {
    const kinds = routes.flatMap(({ ids }) => ids.map(({ prefix }) => prefix));
    expect(new Set(kinds)).toEqual(new Set(['wh', 'evt', 'dlv', 'key', 'op', 'con']));
    expect(routes.filter(({ ids }) => ids.length > 0).length).toBeGreaterThan(12);
  });

  it('answers another tenant as if it did not exist, and every user of its own', async () => {
    for (const [index, route] of routes.entries()) {
      if (route.ids.length === 0 || route.isForAdmins) continue;
      const ids = await things(ann, `owned.by-ann-${index}`);
      const call = (api: ApiClient, idOf: (prefix: string) => string) =>
        api.request(route.method, pathOf(route, idOf), bodyOf(route, idOf));

      const foreign = expectProblem(await call(bob, (prefix) => ids[prefix]!), 404);
      const missing = expectProblem(await call(bob, unknown), 404);
      expect(withoutIds(foreign), `to another owner: ${route.name}`).toEqual(withoutIds(missing));

      const own = await call(colleague, (prefix) => ids[prefix]!);
      expect(own.status, `${route.name}: ${JSON.stringify(own.body)}`).toBeLessThan(300);
    }
  });

  it('lets an admin reach the things of every owner', async () => {
    for (const [index, route] of routes.entries()) {
      if (route.ids.length === 0) continue;
      const ids = await things(ann, `owned.for-admin-${index}`);
      const idOf = (prefix: string) => ids[prefix]!;
      const body = bodyOf(route, idOf);
      const answer = await app.api.request(route.method, pathOf(route, idOf), body);
      expect(answer.status, `${route.name}: ${JSON.stringify(answer.body)}`).toBeLessThan(300);
    }
  });

  it('that is for admins refuses all others, whether or not it exists', async () => {
    const forAdmins = routes.filter(({ isForAdmins }) => isForAdmins);
    expect(forAdmins.length).toBeGreaterThan(2);
    const con = await liveConnection(app, 'ann');
    for (const route of forAdmins) {
      for (const id of [con, unknown('con')]) {
        const path = pathOf(route, () => id);
        expectProblem(await ann.request(route.method, path, route.example), 403);
      }
    }
  });

  it('does not take a delivery under a webhook that it does not belong to', async () => {
    const anns = await things(ann, 'mixed.ann');
    const others = await things(ann, 'mixed.other');
    const bobs = await things(bob, 'mixed.bob');
    const retry = (api: ApiClient, wh = '', dlv = '') =>
      api.request('POST', `/webhooks/${wh}/retry/${dlv}`);
    expectProblem(await retry(ann, others['wh'], anns['dlv']), 404);
    expectProblem(await retry(bob, bobs['wh'], anns['dlv']), 404);
    expectProblem(await retry(bob, anns['wh'], bobs['dlv']), 404);
    expect((await retry(ann, anns['wh'], anns['dlv'])).status).toBe(202);
  });
});

const withoutIds = (body: object): unknown =>
  JSON.parse(JSON.stringify(body).replaceAll(/(wh|evt|dlv|key|op)_[0-9a-z]{26}/g, '<id>'));

describe('without a credential', () => {
  it('only what is documented as public answers', async () => {
    const anonymous = app.api.as(undefined);
    for (const route of routes) {
      const path = pathOf(route, unknown);
      const answer = await anonymous.request(route.method, path, route.example);
      if (route.isPublic) expect(answer.status, `without a credential: ${route.name}`).toBe(200);
      else {
        expect(expectProblem(answer, 401).code).toBe('missing_credentials');
        expect(answer.headers.get('www-authenticate')).toMatch(/^Bearer/);
      }
    }
    const open = routes.filter(({ isPublic }) => isPublic).map(({ name }) => name);
    expect(open).toEqual(['GET /health/live', 'GET /health/ready']);
  });

  it('nothing answers to a token of another issuer', async () => {
    const forged = `${tokenFor('ann').split('.').slice(0, 2).join('.')}.${'A'.repeat(43)}`;
    for (const route of routes.filter(({ isPublic }) => !isPublic)) {
      const answer = await app.api
        .as(forged)
        .request(route.method, pathOf(route, unknown), route.example);
      expectProblem(answer, 401);
    }
  });
});

describe('a list', () => {
  it('shows the owner’s own things only, and everything to an admin', async () => {
    const anns = await things(ann, 'lists.ann');
    const bobs = await things(bob, 'lists.bob');
    const lists = { '/webhooks': 'wh', '/events': 'evt', '/deliveries': 'dlv', '/api-keys': 'key' };
    for (const [path, prefix] of Object.entries(lists)) {
      const idsFor = async (api: ApiClient) =>
        (await everyPage<{ id: string }>((query) => api.get(`${path}?${query}`))).map((t) => t.id);
      const mine = await idsFor(ann);
      expect(mine, `GET ${path}`).toContain(anns[prefix]);
      expect(mine, `GET ${path}`).not.toContain(bobs[prefix]);
      expect(await idsFor(app.api), `GET ${path}`).toEqual(
        expect.arrayContaining([anns[prefix], bobs[prefix]]),
      );
    }
    const dead = await read<PageBody<DeliveryBody>>(ann.get('/dead-letters?limit=200'));
    expect(dead.data.map(({ id }) => id)).toContain(anns['dlv']);
    expect(dead.data.map(({ id }) => id)).not.toContain(bobs['dlv']);
  });

  it('narrowed to another owner’s webhook is empty', async () => {
    const anns = await things(ann, 'narrow.ann');
    for (const path of ['/deliveries', '/dead-letters']) {
      const query = `${path}?webhookId=${anns['wh']}`;
      expect(await bob.get(query)).toEqual({ data: [], nextCursor: null });
      expect((await read<PageBody<DeliveryBody>>(ann.get(query))).data).toHaveLength(1);
    }
  });
});

describe('a field that is not the caller’s to set', () => {
  it.each([
    'id',
    'status',
    'createdAt',
    'updatedAt',
    'deletedAt',
    'disabledReason',
    'revision',
    'sealedSecrets',
    'sealed_secrets',
    'owner_id',
  ])('%s of a webhook is refused by name', async (field) => {
    const ids = await things(ann, `mass.${field}`);
    const input = { url: receiver.url(), events: ['mass.x'], [field]: 'x' };
    expectProblem(await ann.request('POST', '/webhooks', input), 422, field);
    const path = `/webhooks/${ids['wh']}`;
    const before = await ann.get(path);
    expectProblem(await ann.request('PATCH', path, { [field]: 'x' }), 422, field);
    expect(await ann.get(path)).toEqual(before);
  });

  it.each(['ownerId', 'secret'])('%s of a webhook cannot be changed', async (field) => {
    const ids = await things(ann, `mass.change-${field}`);
    const change = { [field]: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw' };
    for (const api of [ann, app.api]) {
      expectProblem(await api.request('PATCH', `/webhooks/${ids['wh']}`, change), 422, field);
    }
  });

  it.each(['id', 'createdAt', 'body', 'owner_id', 'expiresAt'])(
    '%s of an event is refused by name',
    async (field) => {
      const event = { type: 'mass.event', data: 1, [field]: 'evt_01h455vb4pex5vsknk084sn02q' };
      expectProblem(await ann.request('POST', '/events', event), 422, field);
      const batch = { events: [{ type: 'mass.event', data: 1 }, event] };
      expectProblem(await ann.request('POST', '/events/batch', batch), 422, `events[1].${field}`);
    },
  );

  it.each(['id', 'hash', 'prefix', 'key', 'createdAt'])(
    '%s of an API key is refused by name',
    async (field) => {
      const input = { name: 'x', [field]: 'tdk_x' };
      expectProblem(await ann.request('POST', '/api-keys', input), 422, field);
    },
  );

  it('is another owner’s name, except for an admin', async () => {
    const webhook = { url: receiver.url('/for-bob'), events: ['foreign.x'], ownerId: 'bob' };
    const event = { type: 'foreign.x', data: 1, ownerId: 'bob' };
    expectProblem(await ann.request('POST', '/webhooks', webhook), 403);
    expectProblem(await ann.request('POST', '/events', event), 422, 'ownerId');
    expectProblem(
      await ann.request('POST', '/events/batch', { events: [event] }),
      422,
      'events[0].ownerId',
    );
    expectProblem(await ann.request('POST', '/api-keys', { name: 'x', ownerId: 'bob' }), 403);
    expect(await read<WebhookBody>(app.api.post('/webhooks', webhook, 201))).toMatchObject({
      ownerId: 'bob',
    });
    const { id } = await read<EventBody>(app.api.post('/events', event, 202));
    expect(await bob.get(`/events/${id}`)).toMatchObject({ ownerId: 'bob' });
    expectProblem(await ann.request('GET', `/events/${id}`), 404);
  });
});

describe('roles', () => {
  const event = { type: 'role.x', data: 1 };

  it('let publishers publish, and no others', async () => {
    const publisher = app.api.as(tokenFor('ann', { roles: ['publisher'] }));
    await publisher.post('/events', event, 202);
    await publisher.post('/events/batch', { events: [event] }, 202);
    for (const roles of [['subscriber'], [], ['Publisher'], ['other']]) {
      const api = app.api.as(tokenFor('ann', { roles }));
      for (const [path, body] of [
        ['/events', event],
        ['/events/batch', { events: [event] }],
      ] as const) {
        expect(expectProblem(await api.request('POST', path, body), 403).code).toBe(
          'role_required',
        );
      }
    }
  });

  it('are not handed on to a key beyond the caller’s own', async () => {
    const manager = app.api.as(tokenFor('ann', { roles: ['manager', 'subscriber'] }));
    for (const role of ['publisher', 'producer', 'operator', 'admin']) {
      const input = { name: 'x', roles: [role] };
      expectProblem(await manager.request('POST', '/api-keys', input), 403, 'roles[0]');
    }
    await manager.post('/api-keys', { name: 'x', roles: ['subscriber'] }, 201);
  });
});

describe('the topics of a token', () => {
  const limited = () => app.api.as(tokenFor('ann', { topics: ['a.*', 'b.c'] }));

  it.each(['*', 'b.*', 'a', 'b', 'c.d', 'b.c.*'])(
    'are not widened by a webhook for %s',
    async (pattern) => {
      const input = { url: receiver.url(), events: ['a.x', pattern] };
      expectProblem(await limited().request('POST', '/webhooks', input), 403);
      const own = await read<WebhookBody>(limited().webhook(receiver.url(), ['a.*', 'b.c']));
      const change = { events: [pattern] };
      expectProblem(await limited().request('PATCH', `/webhooks/${own.id}`, change), 403);
      expect(await limited().get(`/webhooks/${own.id}`)).toMatchObject({ events: own.events });
    },
  );

  it('are not widened by turning a colleague’s webhook to another receiver', async () => {
    const wide = await read<WebhookBody>(ann.webhook(receiver.url('/wide'), ['*']));
    const path = `/webhooks/${wide.id}`;
    expectProblem(await limited().request('PATCH', path, { url: receiver.url('/mine') }), 403);
    expect(await ann.get(path)).toMatchObject({ url: wide.url });
    await ann.patch(path, { url: receiver.url('/moved') });
    await ann.delete(path);
  });

  it('are not widened by reading the log', async () => {
    const visible = await read<EventBody>(ann.publish({ type: 'a.visible' }));
    const hidden = await read<EventBody>(ann.publish({ type: 'b.hidden' }));
    const listed = await everyPage<EventBody>((query) => limited().get(`/events?${query}`));
    expect(listed.map(({ id }) => id)).toContain(visible.id);
    expect(listed.filter(({ type }) => !type.startsWith('a.') && type !== 'b.c')).toEqual([]);
    expect(await limited().get('/events?type=b.hidden')).toEqual({ data: [], nextCursor: null });
    for (const path of [`/events/${hidden.id}`, `/events/${hidden.id}/deliveries`]) {
      expectProblem(await limited().request('GET', path), 404);
      await ann.get(path);
    }
    await limited().get(`/events/${visible.id}`);
    await limited().get(`/events/${visible.id}/deliveries`);
  });

  it('are not widened by a key', async () => {
    const wide = { name: 'x', topics: ['*'] };
    expectProblem(await limited().request('POST', '/api-keys', wide), 403);
    const key = await read<{ topics: string[] }>(limited().post('/api-keys', { name: 'x' }, 201));
    expect(key.topics).toEqual(['a.*', 'b.c']);
  });
});

describe('an event', () => {
  it('of one owner reaches the webhooks of that owner and of the operator only', async () => {
    await hookUp('reach');
    const anns = await read<EventBody>(ann.publish({ type: 'reach.ann' }));
    const open = await read<EventBody>(app.api.publish({ type: 'reach.open' }));
    // Every owner receives a public event: it is the control for what does not come.
    await expectTypes('/reach-bob', [open.id]);
    await expectTypes('/reach-ann', [anns.id, open.id]);
    await expectTypes('/reach-operator', [anns.id, open.id]);
    const toBob = await read<{ data: DeliveryBody[] }>(bob.get(`/events/${open.id}/deliveries`));
    expect(toBob.data).toHaveLength(1);
    expectProblem(await bob.request('GET', `/events/${anns.id}/deliveries`), 404);
  });

  it('that an admin publishes for an owner is that owner’s alone', async () => {
    await hookUp('named');
    const bobs = await read<EventBody>(app.api.publish({ type: 'named.bob', ownerId: 'bob' }));
    const open = await read<EventBody>(app.api.publish({ type: 'named.open' }));
    await expectTypes('/named-ann', [open.id]);
    await expectTypes('/named-bob', [bobs.id, open.id]);
    await expectTypes('/named-operator', [bobs.id, open.id]);
  });

  async function hookUp(name: string): Promise<void> {
    receiver.reply(200);
    await ann.webhook(receiver.url(`/${name}-ann`), [`${name}.*`]);
    await bob.webhook(receiver.url(`/${name}-bob`), [`${name}.*`]);
    await app.api.webhook(receiver.url(`/${name}-operator`), [`${name}.*`]);
  }

  async function expectTypes(path: string, ids: string[]): Promise<void> {
    const requests = await receiver.expectRequests(ids.length, path);
    expect(new Set(requests.map(({ json }) => json.id))).toEqual(new Set(ids));
  }
});

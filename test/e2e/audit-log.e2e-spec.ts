import { randomUUID } from 'node:crypto';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AuditLogStore } from '../../src/database/audit-log.store.js';
import { PostgresClient } from '../../src/database/postgres.client.js';
import { MAX_VALUE_LENGTH, TRIMMED } from '../../src/shared/audit.js';
import { newId } from '../../src/shared/ids.js';
import { RetentionService } from '../../src/retention/retention.service.js';
import type { ApiClient, Json } from '../support/api-client.js';
import { expectProblem } from '../support/bodies.js';
import {
  bodyOf,
  pathOf,
  readDocument,
  type Route,
  routesOf,
} from '../support/documented-routes.js';
import { eventually } from '../support/eventually.js';
import { liveConnection } from '../support/live-connection.js';
import { DAY_MS } from '../support/log-rows.js';
import { tokenFor } from '../support/tokens.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { forNewOwner, type RunningApp, World } from '../support/world.js';

/** Routes that send something and change nothing that is configured, and why they leave no entry. */
const EXEMPT: Record<string, string> = {
  'POST /api/v1/events': 'events are the event log',
  'POST /api/v1/events/batch': 'events are the event log',
  'POST /api/v1/webhooks/{id}/test': 'one request, of which nothing is kept',
};

/** Bodies that change something, where the example may be what is there already. */
const CHANGES: Record<string, () => object> = {
  'POST /api/v1/event-types': () => ({ name: `audited.t${randomUUID()}` }),
  'PUT /api/v1/event-types/{name}': () => ({ description: randomUUID() }),
  'PATCH /api/v1/webhooks/{id}': () => ({ active: false }),
};

let world: World;
let app: RunningApp;
let receiver: WebhookReceiver;
let routes: Route[];

beforeAll(async () => {
  world = await World.create();
  receiver = await world.receiver();
  app = await world.start({ TRUSTED_PROXIES: '1' });
  routes = routesOf(await readDocument(app.api)).filter(({ method }) => method !== 'GET');
});
afterAll(() => world.stop());

interface Entry extends Json {
  at: string;
  actor: {
    kind: string;
    ownerId: string;
    userId: string;
    apiKeyId: string | null;
    roles: string[];
  };
  action: string;
  resourceType: string;
  resourceId: string | null;
  changes: Record<string, { old: unknown; new: unknown }>;
  address: string | null;
  requestId: string | null;
}

const entries = async (query = '', api = app.api): Promise<Entry[]> =>
  (await api.get(`/audit-log?limit=200${query}`)).data as Entry[];
const about = (id: string, api = app.api) => entries(`&resourceId=${id}`, api);

/** Something of each kind that routes name, of one owner. */
async function things(api: ApiClient, owner: string): Promise<Record<string, string>> {
  const type = `audited.x${randomUUID()}`;
  receiver.reply((response, { path }) => response.writeHead(path === '/fails' ? 500 : 200).end());
  const webhook = await api.webhook(receiver.url('/fails'), [type], {
    retryPolicy: { schedule: [] },
  });
  const event = await api.publish({ type });
  const delivery = await eventually(async () => {
    const { data } = await api.get(`/dead-letters?webhookId=${webhook.id}`);
    expect(data).toHaveLength(1);
    return data[0]!;
  });
  const key = await api.post('/api-keys', { name: 'a key' }, 201);
  // With one that waits, it is running until it is canceled.
  await app.app.get(PostgresClient).dataSource.query(
    `INSERT INTO bulk_operations (id, kind, owner_id, status, count, from_statuses, may_create, request_hash)
     VALUES ($1, 'redrive', $2, 'running', 1, '{}', false, '')`,
    [newId('op'), owner],
  );
  const { data } = await api.get('/operations?status=running');
  const con = await liveConnection(app, owner);
  return { wh: webhook.id, evt: event.id, dlv: delivery.id, key: key.id, op: data[0]!.id, con };
}

describe('a route that changes something', () => {
  it('leaves an entry that says who did it, from where, and in which request', async () => {
    for (const name of Object.keys(EXEMPT)) expect(routes.map((r) => r.name)).toContain(name);
    for (const route of routes) {
      const owner = `audited-${randomUUID()}`;
      const api = app.api.as(tokenFor('alice', { tenant: owner, roles: ['admin'] }));
      const ids = await things(api.as(tokenFor(owner)), owner);
      const idOf = (prefix: string) => ids[prefix]!;
      const requestId = `request-${randomUUID()}`;
      const body = CHANGES[route.name]?.() ?? bodyOf(route, idOf);
      const answer = await api.request(route.method, pathOf(route, idOf), body, {
        'x-request-id': requestId,
        'x-forwarded-for': '192.0.2.1, 203.0.113.9',
      });
      const said = `${route.name}: ${JSON.stringify(answer.body)}`;
      expect(answer.status, said).toBeLessThan(300);
      expect(answer.headers.get('x-request-id'), said).toBe(requestId);
      const left = (await entries()).filter((entry) => entry.requestId === requestId);
      expect(left.length, said).toBe(route.name in EXEMPT ? 0 : 1);
      for (const entry of left) {
        expect(entry, said).toMatchObject({
          actor: {
            kind: 'token',
            ownerId: owner,
            userId: 'alice',
            apiKeyId: null,
            roles: ['admin'],
          },
          address: '203.0.113.9',
        });
        expect(Object.keys(entry.changes).length, said).toBeGreaterThan(0);
      }
    }
  });

  it('replaces a request id that could not stand in a header or a log line', async () => {
    for (const given of ['', 'a b', 'a"b', 'x'.repeat(129), '<script>']) {
      const { headers } = await app.api.request('GET', '/webhooks', undefined, {
        'x-request-id': given,
      });
      expect(headers.get('x-request-id')).toMatch(/^[\da-f-]{36}$/);
    }
  });

  it('leaves none if it is refused, or if nothing has changed', async () => {
    const api = forNewOwner(app).api;
    const webhook = await api.webhook(receiver.url('/same'), ['same.x']);
    const path = `/webhooks/${webhook.id}`;
    await api.patch(path, { active: true, name: null });
    expectProblem(await api.request('PATCH', path, { name: 'new', url: 'http://10.0.0.1/' }), 422);
    expectProblem(await api.request('PATCH', path, { events: [] }), 422);
    expectProblem(await app.api.request('DELETE', `/admin/connections/${newId('con')}`), 404);
    expectProblem(await api.request('DELETE', `/api-keys/${newId('key')}`), 404);
    expect((await entries('', api)).map(({ action }) => action)).toEqual(['webhook.created']);
    expect(await entries('&action=connection.closed&resourceId=con_none')).toEqual([]);
  });

  it('changes nothing if its entry cannot be written', async () => {
    const api = forNewOwner(app).api;
    const webhook = await api.webhook(receiver.url('/atomic'), ['atomic.x']);
    const { dataSource } = app.app.get(PostgresClient);
    await dataSource.query(`ALTER TABLE audit_log ADD CONSTRAINT closed CHECK (false) NOT VALID`);
    try {
      const refused = [
        await api.request('PATCH', `/webhooks/${webhook.id}`, { active: false }),
        await api.request('DELETE', `/webhooks/${webhook.id}`),
        await api.request('POST', `/webhooks/${webhook.id}/rotate-secret`, {}),
        await api.request('POST', '/api-keys', { name: 'never' }),
        await app.api.request('PUT', '/event-types/atomic.type', { description: 'never' }),
      ];
      expect(refused.map(({ status }) => status)).toEqual([500, 500, 500, 500, 500]);
    } finally {
      await dataSource.query(`ALTER TABLE audit_log DROP CONSTRAINT closed`);
    }
    expect(await api.get(`/webhooks/${webhook.id}`)).toMatchObject({ active: true });
    expect((await api.get('/api-keys')).data).toEqual([]);
    await app.api.get('/event-types/atomic.type', 404);
  });
});

describe('an entry', () => {
  it('has the values before and after', async () => {
    const api = forNewOwner(app).api;
    const webhook = await api.webhook(receiver.url('/values'), ['values.x'], { name: 'old' });
    await api.patch(`/webhooks/${webhook.id}`, { name: 'new', timeoutMs: 500 });
    const [changed, created] = await about(webhook.id, api);
    expect(changed).toMatchObject({ action: 'webhook.updated', resourceType: 'webhook' });
    expect(changed!.changes).toEqual({
      name: { old: 'old', new: 'new' },
      timeoutMs: { old: null, new: 500 },
    });
    expect(created!.changes).toMatchObject({ url: { old: null, new: receiver.url('/values') } });
    expect(changed!.id).toMatch(/^aud_/);
  });

  it('names the API key that was used, and each key that is revoked with another', async () => {
    const manager = forNewOwner(app).api;
    const first = await manager.post('/api-keys', { name: 'first', sub: 'deployer' }, 201);
    const second = await app.api.as(first.key).post('/api-keys', { name: 'second' }, 201);
    const [created] = await about(second.id, manager);
    expect(created!.actor).toMatchObject({
      kind: 'api_key',
      userId: 'deployer',
      apiKeyId: first.id,
    });
    await manager.delete(`/api-keys/${first.id}`);
    for (const { id } of [first, second]) {
      expect((await about(id, manager))[0]).toMatchObject({ action: 'api_key.revoked' });
    }
  });

  it('of the system says that it switched a webhook off', async () => {
    const api = forNewOwner(app).api;
    receiver.reply((response, { path }) => response.writeHead(path === '/gone' ? 410 : 200).end());
    const webhook = await api.webhook(receiver.url('/gone'), ['gone.x']);
    await api.publish({ type: 'gone.x' });
    const entry = await eventually(async () => {
      const [newest] = await about(webhook.id, api);
      expect(newest!.action).toBe('webhook.disabled');
      return newest!;
    });
    expect(entry).toMatchObject({ actor: { kind: 'system', userId: null }, requestId: null });
    expect(entry.changes).toEqual({
      active: { old: true, new: false },
      disabledReason: { old: null, new: 'gone' },
    });
  });

  it('is bounded, with a mark at what was trimmed', async () => {
    const name = `long.${randomUUID()}`;
    const description = 'é'.repeat(MAX_VALUE_LENGTH);
    const schema = { enum: [...Array(2_000).keys()] };
    await app.api.request('PUT', `/event-types/${name}`, { description, schema });
    const [entry] = await about(name);
    expect(entry!.changes['description']!.new).toBe(description);
    const shown = String(entry!.changes['schema']!.new);
    expect(shown).toHaveLength(MAX_VALUE_LENGTH + TRIMMED.length);
    expect(shown.endsWith(TRIMMED)).toBe(true);
  });

  it('never holds a secret that is in use', async () => {
    const secret = fc.stringMatching(/^S3CR[a-zA-Z0-9]{20,40}$/);
    const { dataSource } = app.app.get(PostgresClient);
    const headerName = fc.constantFrom('X-Api-Token', 'X-Tenant', 'Authorization');
    await fc.assert(
      fc.asyncProperty(secret, secret, secret, secret, headerName, async (a, b, c, d, name) => {
        const api = forNewOwner(app).api;
        const url = `${receiver.url('/secrets')}?token=${a}&${b}`;
        const webhook = await api.webhook(url, ['secret.x'], { secret: c, headers: { [name]: d } });
        const path = `/webhooks/${webhook.id}`;
        await api.patch(path, { headers: { [name]: `${d}x` }, url: `${url}x` });
        const rotated = await api.post(`${path}/rotate-secret`, {}, 200);
        const key = await api.post('/api-keys', { name: 'x' }, 201);
        await api.delete(`/api-keys/${key.id}`);
        await api.delete(path);
        const rows = JSON.stringify(await dataSource.query(`SELECT * FROM audit_log`));
        const secrets = [a, b, c, d, webhook.secret, rotated.secret, key.key];
        const encoded = [
          ...secrets,
          ...secrets.map((s) => s.slice(6)),
          Buffer.from(c).toString('base64'),
        ];
        expect(encoded.filter((text) => rows.includes(text))).toEqual([]);
        const changed = (await about(webhook.id, api)).find((e) => e.action === 'webhook.updated')!;
        expect(changed.changes['headers']).toEqual({
          old: { [name]: '***' },
          new: { [name]: '***' },
        });
        expect(changed.changes['url']!.new).toBe(`${receiver.url('/secrets')}?token=***&***`);
      }),
      { numRuns: 5 },
    );
  });
});

describe('the audit log', () => {
  it('is for managers of the owner, and for those that reach all owners', async () => {
    const [one, two] = [forNewOwner(app), forNewOwner(app)];
    const webhook = await one.api.webhook(receiver.url('/mine'), ['mine.x']);
    const ownerId = webhook.ownerId!;
    expect(await about(webhook.id, two.api)).toEqual([]);
    expectProblem(await two.api.request('GET', `/audit-log?tenant=${ownerId}`), 422, 'tenant');
    const operator = app.api.as(tokenFor('ops', { roles: ['operator'] }));
    for (const filter of [`tenant=${ownerId}`, `ownerId=${ownerId}`]) {
      expect(await entries(`&${filter}`, operator)).toHaveLength(1);
    }
    await app.api.patch(`/webhooks/${webhook.id}`, { active: false });
    // A change by another is the owner's to know of.
    expect((await entries('', one.api))[0]).toMatchObject({ actor: { userId: 'root' }, ownerId });
  });

  it('is narrowed by each filter, and paged', async () => {
    const tenant = `filters-${randomUUID()}`;
    const as = (user: string) => app.api.as(tokenFor(user, { tenant }));
    const webhook = await as('ann').webhook(receiver.url('/filters'), ['filters.x']);
    const key = await as('bob').post('/api-keys', { name: 'x' }, 201);
    const ids = async (query: string) =>
      (await entries(query, as('ann'))).map(({ resourceId }) => resourceId);
    const [newest] = await entries('', as('ann'));
    const after = new Date(Date.parse(newest!.at) + 1).toISOString();
    expect(await ids('&userId=ann')).toEqual([webhook.id]);
    expect(await ids('&action=api_key.created')).toEqual([key.id]);
    expect(await ids('&resourceType=webhook')).toEqual([webhook.id]);
    expect(await ids(`&resourceId=${key.id}`)).toEqual([key.id]);
    expect(await ids(`&until=${after}`)).toEqual([key.id, webhook.id]);
    expect(await ids(`&since=${after}`)).toEqual([]);
    const first = await as('ann').get('/audit-log?limit=1');
    const second = await as('ann').get(`/audit-log?limit=1&cursor=${first.nextCursor}`);
    expect([...first.data, ...second.data].map((entry) => entry['resourceId'])).toEqual([
      key.id,
      webhook.id,
    ]);
    expect(second.nextCursor).toBeNull();
    for (const query of ['action=x', 'resourceType=x', 'since=x', 'who=x']) {
      expectProblem(await as('ann').request('GET', `/audit-log?${query}`), 422, query.slice(0, -2));
    }
  });

  it('is kept for AUDIT_RETENTION_DAYS, which is the retention of events unless it is set', async () => {
    const kept = await world.start({ EVENT_RETENTION_DAYS: '2', AUDIT_RETENTION_DAYS: '9' });
    expect(app.config.retention.auditDays).toBe(app.config.retention.eventDays);
    const { dataSource } = kept.app.get(PostgresClient);
    const idOf = (days: number) => newId('aud', Date.now() - days * DAY_MS);
    const ages = [10, 8].map(idOf);
    for (const id of ages) {
      await dataSource.query(
        `INSERT INTO audit_log (id, roles, action, resource_type, changes) VALUES ($1, '{}', 'webhook.updated', 'webhook', '{}')`,
        [id],
      );
    }
    const retention = kept.app.get(RetentionService);
    await eventually(async () => expect(await retention.run(Date.now())).toBe(true));
    const left = await kept.app
      .get(AuditLogStore)
      .list({ limit: 200, until: new Date(Date.now() - DAY_MS) });
    expect(left.map(({ id }) => id)).toEqual([ages[1]]);
  });
});

describe('every list of things that belong to owners', () => {
  const LISTS = ['webhooks', 'deliveries', 'dead-letters', 'events', 'api-keys', 'operations'];

  it('takes tenant, and ownerId as another name', async () => {
    const [one, two] = [forNewOwner(app).api, forNewOwner(app).api];
    const owners: string[] = [];
    for (const api of [one, two]) {
      const webhook = await api.webhook(receiver.url('/fails'), ['narrowed.x']);
      owners.push(webhook.ownerId!);
      await things(api, webhook.ownerId!);
    }
    const [mine = '', other = ''] = owners;
    for (const list of LISTS) {
      const idsOf = async (api: ApiClient, query: string) =>
        (await api.get(`/${list}?limit=200${query}`)).data.map(({ id }) => id).toSorted();
      const own = await idsOf(one, '&tenant=' + mine);
      expect(own.length, list).toBeGreaterThan(0);
      for (const name of ['tenant', 'ownerId']) {
        expect(await idsOf(app.api, `&${name}=${mine}`), list).toEqual(own);
        const foreign = await one.request('GET', `/${list}?${name}=${other}`);
        expectProblem(foreign, 422, name);
      }
      expect(await idsOf(app.api, `&tenant=${mine}&ownerId=${mine}`), list).toEqual(own);
      const both = await app.api.request('GET', `/${list}?tenant=${mine}&ownerId=${other}`);
      expectProblem(both, 422, 'tenant');
    }
    const { data } = await app.api.get(`/admin/connections?tenant=${mine}`);
    expect(data.every(({ ownerId }) => ownerId === mine)).toBe(true);
  });
});

/** Index that serves the statements of a list, where PostgreSQL has a choice. */
async function indexesOf(path: string): Promise<string> {
  const { dataSource } = app.app.get(PostgresClient);
  const said: [string, unknown[]][] = [];
  const { logger } = dataSource;
  dataSource.logger = Object.assign(Object.create(logger) as typeof logger, {
    logQuery: (text: string, values: unknown[] = []) => void said.push([text, values]),
  });
  try {
    await app.api.get(path);
  } finally {
    dataSource.logger = logger;
  }
  return dataSource.transaction(async (tx) => {
    // The tables of the test are so small that PostgreSQL would read them as a whole.
    for (const way of ['seqscan', 'bitmapscan', 'sort'])
      await tx.query(`SET LOCAL enable_${way} = off`);
    const plans: unknown[] = [];
    for (const [text, values] of said.filter(([each]) => each.startsWith('SELECT'))) {
      plans.push(await tx.query(`EXPLAIN ${text}`, values));
    }
    return JSON.stringify(plans);
  });
}

describe('a filter', () => {
  it.each([
    ['/webhooks?tenant=x', 'webhooks_by_owner'],
    ['/deliveries?tenant=x', 'webhooks_by_owner'],
    ['/dead-letters?tenant=x', 'webhooks_by_owner'],
    ['/events?tenant=x', 'owner_id_id_idx'],
    ['/api-keys?tenant=x', 'api_keys_by_owner'],
    ['/operations?tenant=x', 'bulk_operations_by_owner'],
    ['/audit-log?tenant=x', 'audit_log_by_owner'],
    ['/audit-log?userId=x', 'audit_log_by_user'],
    ['/audit-log?action=webhook.updated', 'audit_log_by_action'],
    ['/audit-log?resourceType=webhook', 'audit_log_by_resource_type'],
    ['/audit-log?resourceId=x', 'audit_log_by_resource'],
    ['/audit-log?since=2026-01-31T12:00:00Z', 'audit_log_pkey'],
  ])('%s is served by the index %s', async (path, index) => {
    const plans = await indexesOf(path);
    expect(plans).toContain(index);
    expect(plans).not.toContain('Seq Scan');
  });
});

describe('the history', () => {
  it('says who registered a webhook, and who had deliveries sent again', async () => {
    const tenant = `history-${randomUUID()}`;
    const api = app.api.as(tokenFor('carol', { tenant }));
    const carol = { ownerId: tenant, userId: 'carol', apiKeyId: null };
    const ids = await things(api, tenant);
    expect(await api.get(`/webhooks/${ids['wh']}`)).toMatchObject({ createdBy: carol });
    const path = `/deliveries/${ids['dlv']}`;
    expect(await api.get(path)).toMatchObject({ requestedBy: null });
    const again = await api.post(`/dead-letters/${ids['dlv']}/redrive`, undefined, 202);
    expect(again).toMatchObject({ requestedBy: carol });
    const dave = app.api.as(tokenFor('dave', { tenant }));
    await eventually(async () => {
      expect(await api.get(path)).toMatchObject({ status: 'dead_letter' });
    });
    const operation = await dave.post('/dead-letters/redrive', { all: true }, 202);
    const byDave = { ...carol, userId: 'dave' };
    expect(operation).toMatchObject({ requestedBy: byDave, count: 1 });
    await eventually(async () => {
      expect(await api.get(path)).toMatchObject({ requestedBy: byDave });
    });
  });
});

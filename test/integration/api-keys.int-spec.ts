import jwt from 'jsonwebtoken';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { type AuthApp, bearer, seconds, startAuthApp } from '../support/auth-app.js';
import { createEmptyDatabase, type TestDatabase } from '../support/stores.js';

const SECRET = 'a-secret-that-is-long-enough-for-hs256';

interface Created {
  id: string;
  key: string;
}
interface Listed {
  data: { id: string; ownerId: string }[];
  nextCursor: string | null;
}

let database: TestDatabase;
let app: AuthApp;
/** A second process on the same database, for the service. */
let other: AuthApp;

const as = (sub: string, ...roles: string[]) =>
  bearer(jwt.sign({ sub, roles, exp: seconds() + 60 }, SECRET));
const withKey = (key: string) => ({ 'x-api-key': key });
const unique = () => newId('con');

async function create(headers: Record<string, string>, body: object = {}): Promise<Created> {
  const answer = await app.call('POST', 'api-keys', headers, { name: 'test', ...body });
  expect(answer.status).toBe(201);
  return answer.body as unknown as Created;
}

async function list(headers: Record<string, string>, query = ''): Promise<Listed> {
  const answer = await app.call('GET', `api-keys${query}`, headers);
  expect(answer.status).toBe(200);
  return answer.body as unknown as Listed;
}

beforeAll(async () => {
  database = await createEmptyDatabase();
  app = await startAuthApp(database.url, { JWT_SECRET: SECRET });
  other = await startAuthApp(database.url, { JWT_SECRET: SECRET });
});
afterAll(async () => {
  await app?.close();
  await other?.close();
  await database?.drop();
});

describe('an API key', () => {
  it('acts for its owner until it is revoked, and is refused at once after', async () => {
    const owner = as('acme', 'manager', 'publisher');
    const { id, key } = await create(owner);
    expect(key).toMatch(/^tdk_[A-Za-z0-9_-]{43}$/);
    expect(await app.call('GET', 'me', withKey(key))).toMatchObject({
      status: 200,
      body: { ownerId: 'acme', roles: ['manager', 'publisher'] },
    });
    expect(await app.call('DELETE', `api-keys/${id}`, owner)).toMatchObject({ status: 204 });
    expect(await app.call('GET', 'me', withKey(key))).toMatchObject({
      status: 401,
      body: { code: 'invalid_api_key' },
    });
    expect(await app.call('DELETE', `api-keys/${id}`, owner)).toMatchObject({ status: 404 });
  });

  it('is refused by a process that had just taken it, soon after another has revoked it', async () => {
    const owner = as('acme', 'manager', 'publisher');
    const { id, key } = await create(owner);
    expect(await other.call('GET', 'me', withKey(key))).toMatchObject({ status: 200 });
    await app.call('DELETE', `api-keys/${id}`, owner);
    await expect
      .poll(async () => (await other.call('GET', 'me', withKey(key))).status, { timeout: 15_000 })
      .toBe(401);
  });

  it('ends by itself', async () => {
    const expiresAt = new Date(Date.now() + 1_500).toISOString();
    const { key } = await create(as('acme', 'manager', 'publisher'), { expiresAt });
    expect(await app.call('GET', 'me', withKey(key))).toMatchObject({ status: 200 });
    await expect
      .poll(async () => (await app.call('GET', 'me', withKey(key))).body, { timeout: 10_000 })
      .toMatchObject({ code: 'api_key_expired' });
  });

  it('is shown once and nowhere kept', async () => {
    const owner = as(unique(), 'manager', 'publisher');
    const { id, key } = await create(owner);
    const shown = JSON.stringify([
      await list(owner),
      (await app.call('GET', `api-keys/${id}`, owner)).body,
      await storedRows(id),
    ]);
    expect(shown).toContain(id);
    expect(shown).not.toContain(key.slice(8));
    expect(JSON.stringify(await list(owner))).not.toMatch(/hash/);
  });

  it.each(['', 'tdk_', `tdk_${'A'.repeat(43)}`, `tdk_${'A'.repeat(99)}`, "' OR 1=1 --"])(
    'is not %j',
    async (key) => {
      expect(await app.call('GET', 'me', withKey(key))).toMatchObject({ status: 401 });
    },
  );
});

describe('the rights of an API key', () => {
  it('are some of those of its maker', async () => {
    const { key } = await create(as('acme', 'manager', 'publisher', 'subscriber'), {
      roles: ['subscriber'],
    });
    expect(await app.call('POST', 'publish', withKey(key))).toMatchObject({ status: 403 });
    const publisher = await create(as('acme', 'manager', 'publisher'));
    expect(await app.call('POST', 'publish', withKey(publisher.key))).toMatchObject({
      status: 201,
    });
  });

  it('do not grow through a chain of keys', async () => {
    const { key } = await create(as('acme', 'manager', 'publisher'));
    const next = await create(withKey(key));
    expect(await app.call('GET', 'me', withKey(next.key))).toMatchObject({
      body: { ownerId: 'acme' },
    });
    for (const body of [{ roles: ['admin'] }, { roles: ['subscriber'] }, { ownerId: 'other' }]) {
      const answer = await app.call('POST', 'api-keys', withKey(next.key), { name: 'x', ...body });
      expect(answer).toMatchObject({ status: 403 });
    }
  });

  it('hold the topics of its maker, and may be narrower but not wider', async () => {
    const claims = {
      sub: 'acme',
      roles: ['manager', 'subscriber'],
      topics: ['trade.*'],
      exp: seconds() + 60,
    };
    const owner = bearer(jwt.sign(claims, SECRET));
    const same = await create(owner);
    expect(await app.call('GET', 'me', withKey(same.key))).toMatchObject({
      body: { topics: ['trade.*'] },
    });
    const narrow = await create(owner, { topics: ['trade.submitted'] });
    expect(await app.call('GET', 'me', withKey(narrow.key))).toMatchObject({
      body: { topics: ['trade.submitted'] },
    });
    const answer = await app.call('POST', 'api-keys', owner, { name: 'x', topics: ['*'] });
    expect(answer).toMatchObject({ status: 403 });
  });

  it('are what an admin says, for whom an admin says', async () => {
    const admin = as('operator', 'admin');
    const { key } = await create(admin, { ownerId: 'acme', roles: ['publisher'] });
    expect(await app.call('GET', 'me', withKey(key))).toMatchObject({
      body: { ownerId: 'acme', roles: ['publisher'] },
    });
    const silent = await create(admin);
    expect(await app.call('GET', 'admin', withKey(silent.key))).toMatchObject({ status: 403 });
    const explicit = await create(admin, { roles: ['admin'] });
    expect(await app.call('GET', 'admin', withKey(explicit.key))).toMatchObject({ status: 200 });
  });
});

describe('an API key that was created with a key', () => {
  it('is revoked with it, and so are those that were created with that one, in every process', async () => {
    const owner = as(unique(), 'manager', 'publisher');
    const parent = await create(owner);
    const child = await create(withKey(parent.key));
    const grandchild = await create(withKey(child.key));
    const sibling = await create(owner);
    expect((await app.call('GET', `api-keys/${child.id}`, owner)).body).toMatchObject({
      parentId: parent.id,
    });
    for (const { key } of [child, grandchild, sibling]) {
      for (const each of [app, other]) {
        expect(await each.call('GET', 'me', withKey(key))).toMatchObject({ status: 200 });
      }
    }
    expect(await app.call('DELETE', `api-keys/${parent.id}`, owner)).toMatchObject({ status: 204 });
    for (const { key } of [parent, child, grandchild]) {
      expect(await app.call('GET', 'me', withKey(key))).toMatchObject({ status: 401 });
      await expect
        .poll(async () => (await other.call('GET', 'me', withKey(key))).status, { timeout: 15_000 })
        .toBe(401);
    }
    expect(await app.call('GET', 'me', withKey(sibling.key))).toMatchObject({ status: 200 });
    const { data } = await list(owner);
    expect(data.map(({ id }) => id)).toEqual([sibling.id]);
  });

  it('cannot be created once that one is revoked, by a process that has not noticed yet', async () => {
    const owner = as(unique(), 'manager');
    const { id, key } = await create(owner);
    expect(await other.call('GET', 'me', withKey(key))).toMatchObject({ status: 200 });
    await app.call('DELETE', `api-keys/${id}`, owner);
    const answer = await other.call('POST', 'api-keys', withKey(key), { name: 'late' });
    expect(answer).toMatchObject({ status: 401, body: { code: 'invalid_api_key' } });
  });

  it('ends with it at the latest', async () => {
    const end = new Date(Date.now() + 60_000);
    const later = new Date(end.getTime() + 1).toISOString();
    const earlier = new Date(end.getTime() - 1).toISOString();
    const parent = await create(as('acme', 'manager'), { expiresAt: end.toISOString() });
    const same = await app.call('POST', 'api-keys', withKey(parent.key), { name: 'x' });
    expect(same).toMatchObject({ status: 201, body: { expiresAt: end.toISOString() } });
    const sooner = { name: 'x', expiresAt: earlier };
    expect(await app.call('POST', 'api-keys', withKey(parent.key), sooner)).toMatchObject({
      status: 201,
      body: { expiresAt: earlier },
    });
    const longer = { name: 'x', expiresAt: later };
    expect(await app.call('POST', 'api-keys', withKey(parent.key), longer)).toMatchObject({
      status: 403,
      body: { code: 'expiry_not_yours', errors: [{ field: 'expiresAt' }] },
    });
  });

  it('is not limited by the end of the token that the first was created with', async () => {
    const { key } = await create(as('acme', 'manager'));
    const answer = await app.call('GET', 'me', withKey(key));
    expect(answer).toMatchObject({ status: 200 });
    expect((await create(withKey(key))).key).toMatch(/^tdk_/);
  });
});

describe('an API key as a bearer token', () => {
  it('is the same credential', async () => {
    const { id, key } = await create(as('acme', 'manager', 'publisher'));
    for (const authorization of [`Bearer ${key}`, `bearer  ${key}`]) {
      expect(await app.call('GET', 'me', { authorization })).toMatchObject({
        status: 200,
        body: { ownerId: 'acme', roles: ['manager', 'publisher'] },
      });
    }
    await app.call('DELETE', `api-keys/${id}`, as('acme', 'manager'));
    for (const text of [key, `tdk_${'A'.repeat(43)}`, 'tdk_', 'tdk_x.y.z']) {
      const answer = await app.call('GET', 'me', bearer(text));
      expect(answer).toMatchObject({ status: 401, body: { code: 'invalid_api_key' } });
      expect(JSON.stringify(answer.body)).not.toContain(key);
    }
    const both = { ...bearer(key), ...withKey(key) };
    expect(await app.call('GET', 'me', both)).toMatchObject({
      status: 401,
      body: { code: 'ambiguous_credentials' },
    });
  });
});

describe('API keys of two owners', () => {
  it('are hidden from each other, like keys that do not exist', async () => {
    const [alice, bob] = [as(unique(), 'manager'), as(unique(), 'manager')];
    const { id, key } = await create(alice);
    const absent = newId('key');
    for (const method of ['GET', 'DELETE']) {
      const foreign = await app.call(method, `api-keys/${id}`, bob);
      const missing = await app.call(method, `api-keys/${absent}`, bob);
      expect(foreign.status).toBe(404);
      expect(foreign.body).toEqual(JSON.parse(JSON.stringify(missing.body).replaceAll(absent, id)));
    }
    expect((await list(bob)).data).toEqual([]);
    expect((await list(alice)).data.map((row) => row.id)).toEqual([id]);
    expect(await app.call('GET', 'me', withKey(key))).toMatchObject({ status: 200 });
  });

  it('are all seen and revoked by an admin', async () => {
    const { id, key } = await create(as(unique(), 'manager', 'publisher'));
    const admin = as('operator', 'admin');
    expect((await list(admin, '?limit=1')).data.map((row) => row.id)).toEqual([id]);
    expect(await app.call('DELETE', `api-keys/${id}`, admin)).toMatchObject({ status: 204 });
    expect(await app.call('GET', 'me', withKey(key))).toMatchObject({ status: 401 });
  });

  it.each([
    'key_1',
    'key_%00',
    '%00',
    "key_'%20OR%201=1--",
    'evt_01h455vb4pex5vsknk084sn02q',
    `key_${'0'.repeat(60)}`,
  ])('do not include %s', async (id) => {
    for (const method of ['GET', 'DELETE']) {
      expect((await app.call(method, `api-keys/${id}`, as('acme', 'admin'))).status).toBe(404);
    }
  });
});

describe('the list of API keys', () => {
  it('shows every key once, newest first, over its pages', async () => {
    const owner = as(unique(), 'manager', 'publisher');
    const made: string[] = [];
    for (let i = 0; i < 5; i++) made.unshift((await create(owner)).id);
    const seen: string[] = [];
    let query = '?limit=2';
    for (;;) {
      const { data, nextCursor } = await list(owner, query);
      seen.push(...data.map(({ id }) => id));
      if (nextCursor === null) break;
      query = `?limit=2&cursor=${nextCursor}`;
    }
    expect(seen).toEqual(made);
  });

  it.each([
    'limit=0',
    'limit=201',
    'limit=x',
    'cursor=%00',
    'cursor=AAAA',
    'cursor=a&cursor=b',
    'offset=1',
  ])('refuses ?%s with 422', async (query) => {
    expect(
      await app.call('GET', `api-keys?${query}`, as('acme', 'manager', 'publisher')),
    ).toMatchObject({
      status: 422,
    });
  });
});

describe('the input of an API key', () => {
  it.each([
    ['no name', {}, 'name'],
    ['an empty name', { name: '' }, 'name'],
    ['a long name', { name: 'x'.repeat(101) }, 'name'],
    ['a name with NUL', { name: 'a\u0000' }, 'name'],
    ['a name with a lone surrogate', { name: 'a\ud800' }, 'name'],
    ['a name that is a list', { name: ['a'] }, 'name'],
    ['no role', { name: 'x', roles: [] }, 'roles'],
    ['an unknown role', { name: 'x', roles: ['root'] }, 'roles[0]'],
    ['a topic that is no pattern', { name: 'x', topics: ['**'] }, 'topics[0]'],
    ['too many topics', { name: 'x', topics: Array(101).fill('a') }, 'topics'],
    ['an end in the past', { name: 'x', expiresAt: '2020-01-01T00:00:00Z' }, 'expiresAt'],
    ['an end without a zone', { name: 'x', expiresAt: '2030-01-01T00:00:00' }, 'expiresAt'],
    ['an end that does not exist', { name: 'x', expiresAt: '2030-02-30T00:00:00Z' }, 'expiresAt'],
    ['an owner that cannot be', { name: 'x', ownerId: 'a\u200b' }, 'ownerId'],
    ['its id', { name: 'x', id: newId('key') }, 'id'],
    ['its hash', { name: 'x', hash: '0' }, 'hash'],
    ['its prefix', { name: 'x', prefix: 'tdk_0000' }, 'prefix'],
    ['its creation', { name: 'x', createdAt: '2020-01-01T00:00:00Z' }, 'createdAt'],
  ])('cannot be %s', async (_, body, field) => {
    const answer = await app.call('POST', 'api-keys', as('acme', 'manager', 'publisher'), body);
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ field }] } });
  });

  it.each([[null], [[]], ['x'], [7]])('cannot be %j', async (body) => {
    const { status } = await app.call('POST', 'api-keys', as('acme', 'manager', 'publisher'), body);
    expect(status).toBeGreaterThanOrEqual(400);
    expect(status).toBeLessThan(500);
  });
});

async function storedRows(id: string): Promise<unknown[]> {
  const client = new Client({ connectionString: database.url });
  await client.connect();
  try {
    return (await client.query('SELECT * FROM api_keys WHERE id = $1', [id])).rows;
  } finally {
    await client.end();
  }
}

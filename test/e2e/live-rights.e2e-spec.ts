import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { SocketClient } from '../support/socket-client.js';
import { tokenFor } from '../support/tokens.js';
import { untilTestEnds } from '../support/short-lived.js';
import { WebSocketClient } from '../support/websocket-client.js';
import { type RunningApp, World } from '../support/world.js';

/** Who is connected: users of two tenants, and those who reach all tenants. */
const CALLERS = {
  alice: { tenant: 'acme', roles: ['subscriber'] },
  bob: { tenant: 'acme', roles: ['subscriber', 'publisher', 'manager'] },
  carol: { tenant: 'other', roles: ['subscriber'] },
  // A user of another tenant with the id of one of ours.
  'bob of another tenant': { tenant: 'other', roles: ['subscriber'] },
  operator: { tenant: 'operators', roles: ['operator'] },
  admin: { tenant: 'operators', roles: ['admin'] },
} as const;
type Caller = keyof typeof CALLERS;

const NAMES = Object.keys(CALLERS) as Caller[];
const OPERATORS: Caller[] = ['operator', 'admin'];
const userOf = (name: Caller): string => name.split(' ')[0]!;
const tenantOf = (name: Caller): string => CALLERS[name].tenant;
const tenantOfIs = (tenant: string) => (name: Caller) => tenantOf(name) === tenant;
const reachesAll = (name: Caller): boolean => OPERATORS.includes(name);

/** What an operation sends to others; each needs a row, so that a new one without a decision fails. */
interface Row {
  /** @param mark is sent along, to recognise the message */
  payload: (mark: string) => object;
  /** Who gets the message, beside the caller itself. Undefined: it sends nothing. */
  reaches?: (caller: Caller) => (other: Caller) => boolean;
}

/** To a tenant; those who may manage connections send to all. */
const toAll = (caller: Caller) => (other: Caller) =>
  reachesAll(caller) || tenantOf(caller) === tenantOf(other);

const ROWS: Record<string, Row> = {
  subscribe: { payload: () => ({ topics: ['rights.*'] }) },
  unsubscribe: { payload: () => ({ topics: ['rights.*'] }) },
  ping: { payload: () => ({}) },
  presence: { payload: () => ({ topic: 'rights.*' }) },
  broadcast: { payload: (message) => ({ message }), reaches: toAll },
  chat: {
    payload: (message) => ({ message }),
    reaches: (caller) => tenantOfIs(tenantOf(caller)),
  },
  private: {
    payload: (message) => ({ to: 'bob', message }),
    reaches: (caller) => (other) => userOf(other) === 'bob' && toAll(caller)(other),
  },
  'auth:refresh': { payload: () => ({ token: 'a.b.c' }) },
};

interface Client {
  name: Caller;
  request: (name: string, payload: object) => Promise<Record<string, unknown>>;
  next: (name: string) => Promise<Record<string, unknown>>;
}

let world: World;
let app: RunningApp;

beforeAll(async () => {
  world = await World.create();
  app = await world.start();
});
afterAll(() => world.stop());

/** A token or an API key of this caller. */
type CredentialOf = (name: Caller) => string | Promise<string>;

const CREDENTIALS: Record<string, CredentialOf> = {
  token: (name) => {
    const { tenant, roles } = CALLERS[name];
    return tokenFor(userOf(name), { tenant, roles: [...roles] });
  },
  'API key': async (name) => {
    const { tenant, roles } = CALLERS[name];
    const input = { name: 'a key', ownerId: tenant, sub: userOf(name), roles };
    return (await app.api.post('/api-keys', input, 201)).key;
  },
};

const TRANSPORTS: Record<string, (credential: string) => Promise<SocketClient | WebSocketClient>> =
  {
    'Socket.IO': async (token) =>
      untilTestEnds(await SocketClient.connect(app.baseUrl, { auth: { token } })),
    WebSocket: async (token) =>
      untilTestEnds(
        await WebSocketClient.connect(app.baseUrl, '/ws', { protocols: ['bearer', token] }),
      ),
  };

async function connectAll(transport: string, credential: string): Promise<Client[]> {
  return Promise.all(
    NAMES.map(async (name) => {
      const client = await TRANSPORTS[transport]!(await CREDENTIALS[credential]!(name));
      await client.next('connected');
      return {
        name,
        request: (request, payload) => client.request(request, payload),
        next: (frame) => client.next(frame),
      };
    }),
  );
}

/** The requests of clients that the AsyncAPI document describes. */
async function documentedRequests(): Promise<string[]> {
  const { operations } = (await app.api.get('//docs/asyncapi.json')) as unknown as {
    operations: Record<string, { action: string; messages: { $ref: string }[] }>;
  };
  return Object.entries(operations)
    .filter(([name, { action }]) => name.startsWith('socketIo.') && action === 'receive')
    .map(([name]) => name.slice('socketIo.'.length).replace('auth-refresh', 'auth:refresh'));
}

/** Everything that each client was sent until a last message of an admin, which reaches all. */
async function receivedBy(clients: readonly Client[]): Promise<Map<Caller, string[]>> {
  const end = newId('evt');
  await clients.find(({ name }) => name === 'admin')!.request('broadcast', { message: end });
  const received = await Promise.all(
    clients.map(async ({ name, next }) => {
      const messages: string[] = [];
      while (messages.at(-1) !== end) messages.push(String((await next('message'))['message']));
      return [name, messages] as const;
    }),
  );
  return new Map(received);
}

describe('each request of a live connection', () => {
  it('says whom it reaches', async () => {
    expect(Object.keys(ROWS).toSorted()).toEqual((await documentedRequests()).toSorted());
  });

  const matrix = Object.keys(TRANSPORTS).flatMap((transport) =>
    Object.keys(CREDENTIALS).map((credential) => [transport, credential] as const),
  );
  it.each(matrix)('reaches those, and no others, over %s with each %s', async (...how) => {
    const clients = await connectAll(...how);
    const expected = new Map(NAMES.map((name) => [name, [] as string[]]));
    for (const caller of clients) {
      for (const [request, { payload, reaches }] of Object.entries(ROWS)) {
        const mark = `${request} of ${caller.name}`;
        const answer = await caller.request(request, payload(mark));
        expect(answer['ok'], `${mark}: ${JSON.stringify(answer)}`).toBe(request !== 'auth:refresh');
        const recipients = reaches ? NAMES.filter(reaches(caller.name)) : [];
        for (const name of recipients) expected.get(name)!.push(mark);
        if (reaches) expect(answer['delivered'], mark).toBe(recipients.length);
      }
    }
    for (const [name, messages] of await receivedBy(clients)) {
      expect(messages.slice(0, -1).toSorted(), name).toEqual(expected.get(name)!.toSorted());
    }
  });

  it.each(matrix)('changes no other user by auth:refresh, over %s with each %s', async (...how) => {
    const clients = await connectAll(...how);
    for (const { name, request } of clients) {
      for (const other of NAMES) {
        const token = await CREDENTIALS[how[1]]!(other);
        const answer = await request('auth:refresh', { token });
        const isSame = userOf(name) === userOf(other) && tenantOf(name) === tenantOf(other);
        expect(answer['ok'], `${name} as ${other}: ${JSON.stringify(answer)}`).toBe(isSame);
      }
    }
  });
});

describe('each event', () => {
  const OWNERS = ['acme', 'other', null] as const;
  const matrix = Object.keys(TRANSPORTS).flatMap((transport) =>
    Object.keys(CREDENTIALS).map((credential) => [transport, credential] as const),
  );
  it.each(matrix)('reaches its tenant, over %s with each %s', async (...how) => {
    const clients = await connectAll(...how);
    const type = `rights.${newId('evt')}`;
    for (const { request } of clients) await request('subscribe', { topics: [type] });
    for (const ownerId of [...OWNERS, 'end']) {
      await app.api.publish({ type, data: { ownerId }, ...(ownerId !== null && { ownerId }) });
    }
    await app.api.publish({ type, data: { ownerId: 'last' } });
    for (const { name, next } of clients) {
      const seen: unknown[] = [];
      while (seen.at(-1) !== 'last') {
        const frame = await next('event');
        const { data } = (frame['event'] ?? frame) as { data: { ownerId: unknown } };
        seen.push(data.ownerId);
      }
      const visible = [...OWNERS, 'end'].filter(
        (owner) => reachesAll(name) || owner === null || owner === tenantOf(name),
      );
      expect(seen, name).toEqual([...visible, 'last']);
    }
  });
});

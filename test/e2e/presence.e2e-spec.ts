import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { eventually } from '../support/eventually.js';
import { ProductProcess } from '../support/product-process.js';
import { socketIo, startApp, startApps, untilTestEnds, webSocket } from '../support/short-lived.js';
import { SocketClient } from '../support/socket-client.js';
import { type RedisServer, startRedisServer } from '../support/stores.js';
import { tokenFor } from '../support/tokens.js';
import { environment, World } from '../support/world.js';

type Payload = Record<string, unknown>;

interface Asking {
  request(name: string, payload: object): Promise<Payload>;
  next(name: string): Promise<Payload>;
}

let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedisServer();
});
afterAll(() => redis.stop());

/** Two applications on one Redis. */
const startPair = (url = redis.url) => startApps({ REDIS_URL: url }, { REDIS_URL: url });

const idOf = async (client: Asking) => String((await client.next('connected'))['connectionId']);

/** The ids of the members. */
async function present(client: Asking, topic: unknown, more = {}): Promise<string[]> {
  const answer = await client.request('presence', { topic, ...more });
  expect(answer).toMatchObject({ ok: true, topic, complete: true, truncated: false });
  const members = answer['members'] as { connectionId: string }[];
  expect(answer['count']).toBe(members.length);
  return members.map(({ connectionId }) => connectionId).toSorted();
}

/** Reads notices until these have joined and these have left, and no others. */
async function expectChanges(
  client: Asking,
  expected: { joined?: string[]; left?: string[] },
): Promise<void> {
  const [joined, left] = [new Set(expected.joined), new Set(expected.left)];
  while (joined.size + left.size > 0) {
    const notice = await client.next('presence');
    const named = (members: unknown) =>
      (members as { connectionId: string }[]).map(({ connectionId }) => connectionId);
    for (const id of named(notice['joined'])) expect(joined.delete(id), `${id} joined`).toBe(true);
    for (const id of named(notice['left'])) expect(left.delete(id), `${id} left`).toBe(true);
  }
}

describe('the members of a topic', () => {
  it('are those of the owner with exactly this topic, over all transports', async () => {
    const app = await startApp();
    const asking = await socketIo(app, 'ann');
    const plain = await webSocket(app, 'ann', {}, '/ws/price/AAPL');
    const topic = { type: 'price', subject: 'AAPL' };
    const plainId = await idOf(plain);
    await eventually(async () => expect(await present(asking, topic)).toEqual([plainId]));
    const others = [await socketIo(app, 'ann'), await socketIo(app, 'ann')];
    await others[0]!.subscribe('price', topic);
    await others[1]!.subscribe('price', '*');
    const bob = await socketIo(app, 'bob');
    await bob.subscribe('price');
    const ids = await Promise.all(others.map(idOf));
    expect(await present(asking, 'price')).toEqual(ids.toSorted());
    expect(await present(asking, 'price.*')).toEqual([]);
    expect(await present(bob, 'price')).toEqual([await idOf(bob)]);
    expect(await present(asking, topic)).toHaveLength(2);

    const admin = await socketIo(app, 'root', { roles: ['admin'] });
    await admin.subscribe('price');
    expect(await present(admin, 'price')).toHaveLength(4);
    expect(await present(asking, 'price')).toHaveLength(2);
    const answer = await asking.request('presence', { topic: 'price' });
    expect(answer['members']).toContainEqual({
      connectionId: ids[0],
      userId: 'ann',
      since: expect.stringMatching(/Z$/) as unknown,
    });
    await others[0]!.request('unsubscribe', { topics: ['price'] });
    others[1]!.close();
    await eventually(async () => expect(await present(asking, 'price')).toEqual([]));
  });

  it('are those on all nodes', async () => {
    const [a, b] = await startPair();
    const near = await socketIo(a, 'ann');
    const far = await socketIo(b, 'ann');
    for (const client of [near, far]) await client.subscribe('room');
    const ids = [await idOf(near), await idOf(far)].toSorted();
    for (const client of [near, far]) {
      await eventually(async () => expect(await present(client, 'room')).toEqual(ids));
    }
  });

  it('can be requested only for topics that the credential allows, and by a valid request', async () => {
    const app = await startApp();
    const client = await socketIo(app, 'ann', { topics: ['trade.*'] });
    const refusals: [object, string, string][] = [
      [{ topic: 'price' }, 'forbidden', ''],
      [{ topic: 'price', watch: true }, 'forbidden', ''],
      [{}, 'invalid_input', 'topic'],
      [{ topic: 'no..good' }, 'invalid_input', 'topic.type'],
      [{ topic: 'trade.*', watch: 'yes' }, 'invalid_input', 'watch'],
      [{ topic: 'trade.*', other: 1 }, 'invalid_input', 'other'],
    ];
    for (const [payload, code, field] of refusals) {
      const answer = await client.request('presence', payload);
      expect(answer, JSON.stringify(payload)).toMatchObject({ ok: false, error: { code } });
      expect((answer['error'] as Payload)['message']).toMatch(new RegExp(`^${field}`));
    }
    expect(await present(client, 'trade.*')).toEqual([]);
  });
});

describe('the topics that are watched', () => {
  it('are limited for a connection and for an owner, which leaves others theirs', async () => {
    const app = await startApp({ REALTIME_MESSAGES_PER_SECOND: '1000' });
    const watch = (client: Asking, topic: string) =>
      client.request('presence', { topic, watch: true });
    const watching = await Promise.all(Array.from({ length: 4 }, () => socketIo(app, 'ann')));
    let watched = 0;
    for (const [at, client] of watching.entries()) {
      const answers = await Promise.all(
        Array.from({ length: 120 }, (_, n) => watch(client, `room.${at}.t${n}`)),
      );
      for (const { ok, error } of answers) {
        if (ok === true) watched++;
        else expect(error).toMatchObject({ code: 'too_many_topics' });
      }
      expect(watched).toBe(Math.min((at + 1) * 100, 250));
    }
    const [another, stranger] = [await socketIo(app, 'ann'), await socketIo(app, 'bob')];
    // A topic that the owner watches already needs no further place.
    expect(await watch(another, 'room.0.t0')).toMatchObject({ ok: true });
    expect(await watch(another, 'room.new')).toMatchObject({ ok: false });
    expect(await watch(stranger, 'room.new')).toMatchObject({ ok: true });
    watching[0]!.close();
    await eventually(async () =>
      expect(await watch(another, 'room.new')).toMatchObject({ ok: true }),
    );
  });
});

describe('a client that watches a topic', () => {
  it('is notified of joins and leaves on all nodes, until it stops watching', async () => {
    const [a, b] = await startPair();
    const watcher = await socketIo(a, 'ann');
    const early = await socketIo(b, 'ann');
    await early.subscribe('room');
    const earlyId = await idOf(early);
    await eventually(async () => expect(await present(watcher, 'room')).toEqual([earlyId]));
    expect(await present(watcher, 'room', { watch: true })).toEqual([earlyId]);

    const [near, far, stranger] = [
      await socketIo(a, 'ann'),
      await socketIo(b, 'ann'),
      await socketIo(b, 'bob'),
    ];
    for (const client of [stranger, near, far]) await client.subscribe('room');
    const ids = [await idOf(near), await idOf(far)];
    await expectChanges(watcher, { joined: ids });
    near.close();
    await far.request('unsubscribe', { topics: ['room'] });
    await expectChanges(watcher, { left: ids });

    expect(await present(watcher, 'room', { watch: false })).toEqual([earlyId]);
    early.close();
    await eventually(async () => expect(await present(watcher, 'room')).toEqual([]));
    expect(await present(watcher, 'room', { watch: true })).toEqual([]);
    const last = await socketIo(b, 'ann');
    await last.subscribe('room');
    await expectChanges(watcher, { joined: [await idOf(last)] });
  });

  it('is notified of a crowd in few notices, without those that left again meanwhile', async () => {
    const app = await startApp();
    const watcher = await socketIo(app, 'ann');
    await present(watcher, 'room', { watch: true });
    const crowd = await Promise.all(Array.from({ length: 60 }, () => socketIo(app, 'ann')));
    const ids = await Promise.all(crowd.map(idOf));
    await Promise.all(
      crowd.map(async (client) => {
        await client.subscribe('room');
        await client.request('unsubscribe', { topics: ['room'] });
        await client.subscribe('room');
      }),
    );
    let notices = 0;
    const counting: Asking = {
      request: (name, payload) => watcher.request(name, payload),
      next: async (name) => {
        notices++;
        return watcher.next(name);
      },
    };
    const there = new Set<string>();
    while (there.size < ids.length) {
      const { joined, left } = await counting.next('presence');
      for (const { connectionId } of joined as { connectionId: string }[]) there.add(connectionId);
      for (const { connectionId } of left as { connectionId: string }[]) there.delete(connectionId);
    }
    expect([...there].toSorted()).toEqual(ids.toSorted());
    expect(notices).toBeLessThan(30);
  });

  it('is notified that the members on a killed node have left', { timeout: 60_000 }, async () => {
    const world = await World.create();
    onTestFinished(() => world.stop());
    const [a, b] = await Promise.all(
      [1, 2].map(async () => {
        const product = await ProductProcess.start(
          environment(world.database, { REDIS_URL: redis.url, LOG_LEVEL: 'log' }),
        );
        onTestFinished(async () => void (await product.end('SIGKILL')));
        return product;
      }),
    );
    const as = async ({ baseUrl }: ProductProcess) => {
      const auth = { token: tokenFor('ann') };
      return untilTestEnds(await SocketClient.connect(baseUrl, { auth }));
    };
    const [watcher, kept, lost] = [await as(a!), await as(a!), await as(b!)];
    for (const client of [kept, lost]) await client.subscribe('room');
    const [keptId, lostId] = [await idOf(kept), await idOf(lost)];
    await eventually(async () =>
      expect(await present(watcher, 'room')).toEqual([keptId, lostId].toSorted()),
    );
    await present(watcher, 'room', { watch: true });
    await b!.end('SIGKILL');
    await expectChanges(watcher, { left: [lostId] });
    await eventually(async () => expect(await present(watcher, 'room')).toEqual([keptId]));
  });

  it('is notified of what it missed after Redis was away', { timeout: 60_000 }, async () => {
    let away = await startRedisServer();
    onTestFinished(() => away.stop());
    const [a, b] = await startPair(away.url);
    const watcher = await socketIo(a, 'ann');
    const far = await socketIo(b, 'ann');
    await far.subscribe('room');
    const farId = await idOf(far);
    await eventually(async () => expect(await present(watcher, 'room')).toEqual([farId]));
    await present(watcher, 'room', { watch: true });
    await away.kill();
    const later = await socketIo(b, 'ann');
    await later.subscribe('room');
    const laterId = await idOf(later);
    // The other node cannot be reached, and the response says so.
    await eventually(async () => {
      expect(await watcher.request('presence', { topic: 'room' })).toMatchObject({
        ok: true,
        complete: false,
      });
    });
    away = await startRedisServer({ port: away.port });
    const there = new Set([farId]);
    while (!(there.has(laterId) && there.has(farId))) {
      const { joined, left } = await watcher.next('presence');
      for (const { connectionId } of left as { connectionId: string }[]) there.delete(connectionId);
      for (const { connectionId } of joined as { connectionId: string }[]) there.add(connectionId);
    }
    await eventually(async () =>
      expect(await present(watcher, 'room')).toEqual([farId, laterId].toSorted()),
    );
  });
});

import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ApiClient } from '../support/api-client.js';
import {
  type DeliveryBody,
  type EventBody,
  everyPage,
  type PageBody,
  read,
} from '../support/bodies.js';
import { redisUrl } from '../support/stores.js';
import { tokenFor } from '../support/tokens.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { World } from '../support/world.js';

let world: World;
let receiver: WebhookReceiver;
let root: ApiClient;

beforeAll(async () => {
  world = await World.create();
  receiver = await world.receiver();
  root = (await world.start()).api;
});
afterAll(() => world.stop());

/** A new owner, whose log is empty. */
const owner = (name: string): ApiClient => root.as(tokenFor(name));

const publish = (api: ApiClient, event: object): Promise<EventBody> => read(api.publish(event));

const idsOf = async (api: ApiClient, query: string): Promise<string[]> =>
  (await read<PageBody<EventBody>>(api.get(`/events?${query}`))).data.map(({ id }) => id);

/** Publishes until an event has a later millisecond than the one before. */
async function publishLater(api: ApiClient, type: string, than: EventBody): Promise<EventBody> {
  for (;;) {
    const event = await publish(api, { type });
    if (event.timestamp > than.timestamp) return event;
  }
}

describe('the event log', () => {
  it('shows an event as its listeners received it', async () => {
    const api = owner('envelope');
    await api.webhook(receiver.url('/envelope'), ['envelope.*']);
    const { id } = await publish(api, {
      type: 'envelope.x',
      subject: 'AAPL',
      source: 'orders',
      timestamp: '2020-02-29T23:59:59.9994+02:00',
      priority: 'high',
      ttlMs: 60_000,
      data: { z: [1, 'é', null], a: { '10': 1, '9': 2 } },
    });
    const [request] = await receiver.expectRequests(1, '/envelope');
    const { ownerId, priority, expiresAt, createdAt, ...envelope } = await read<
      EventBody & { priority: string; expiresAt: string }
    >(api.get(`/events/${id}`));
    expect(JSON.stringify(envelope)).toBe(request!.body);
    expect(envelope.timestamp).toBe('2020-02-29T21:59:59.999Z');
    expect({ ownerId, priority }).toEqual({ ownerId: 'envelope', priority: 'high' });
    expect(Date.parse(expiresAt) - Date.parse(createdAt)).toBe(60_000);
  });

  it('leaves out what was not given', async () => {
    const api = owner('absent');
    const { id, timestamp } = await publish(api, { type: 'absent.x', data: null });
    const event = await read<EventBody>(api.get(`/events/${id}`));
    expect(event).toEqual({
      id,
      type: 'absent.x',
      timestamp,
      data: null,
      ownerId: 'absent',
      priority: 'normal',
      expiresAt: null,
      createdAt: event.createdAt,
    });
  });

  it('lists the newest first, and one event in no two ways', async () => {
    const api = owner('order');
    const ids: string[] = [];
    for (let n = 0; n < 5; n++) ids.push((await publish(api, { type: 'order.x' })).id);
    const { data } = await read<PageBody<EventBody>>(api.get('/events'));
    expect(data.map(({ id }) => id)).toEqual(ids.reverse());
    expect(data[0]).toEqual(await api.get(`/events/${ids[0]}`));
  });

  it('is narrowed by type, by pattern and by subject', async () => {
    const api = owner('filters');
    const types = ['a', 'a.b', 'a.b.c', 'ab', 'a_b.c'];
    const ids: Record<string, string> = {};
    for (const type of types) ids[type] = (await publish(api, { type })).id;
    const about = await publish(api, { type: 'a.b', subject: "O'Neil %_" });
    for (const [type, expected] of [
      ['a', ['a']],
      ['a.b', ['a.b']],
      ['a.*', ['a.b.c', 'a.b']],
      ['a.b.*', ['a.b.c']],
      ['*', ['a_b.c', 'ab', 'a.b.c', 'a.b', 'a']],
      ['b', []],
      ['A', []],
    ] as const) {
      const found = await idsOf(api, `type=${encodeURIComponent(type)}`);
      expect(
        found.filter((id) => id !== about.id),
        `type=${type}`,
      ).toEqual(expected.map((t) => ids[t]));
    }
    const subject = encodeURIComponent("O'Neil %_");
    expect(await idsOf(api, `subject=${subject}`)).toEqual([about.id]);
    expect(await idsOf(api, `subject=${subject}&type=a.*`)).toEqual([about.id]);
    expect(await idsOf(api, `subject=${subject}&type=ab`)).toEqual([]);
    expect(await idsOf(api, 'subject=o')).toEqual([]);
  });

  it('is narrowed by time: from since, up to but without until', async () => {
    const api = owner('times');
    const first = await publish(api, { type: 'times.x' });
    const second = await publishLater(api, 'times.filler', first);
    const third = await publishLater(api, 'times.filler', second);
    const times = async (query: string) => {
      const found = await idsOf(api, query);
      return [first, second, third].map(({ id }) => found.includes(id));
    };
    const at = (event: EventBody) => encodeURIComponent(event.timestamp);
    expect(await times(`since=${at(second)}`)).toEqual([false, true, true]);
    expect(await times(`until=${at(second)}`)).toEqual([true, false, false]);
    expect(await times(`since=${at(second)}&until=${at(third)}`)).toEqual([false, true, false]);
    expect(await times(`since=${at(third)}&until=${at(second)}`)).toEqual([false, false, false]);
    const sameMoment = second.timestamp.replace('Z', '+00:00');
    expect(await times(`since=${encodeURIComponent(sameMoment)}`)).toEqual([false, true, true]);
    expect(await times('since=0000-01-01T00:00:00Z')).toEqual([true, true, true]);
    expect(await times('until=9999-12-31T23:59:59Z')).toEqual([true, true, true]);
    expect(await times('since=9999-12-31T23:59:59Z')).toEqual([false, false, false]);
  });

  it('counts time by when an event was accepted, not by what it says', async () => {
    const api = owner('said');
    const { id } = await publish(api, { type: 'said.x', timestamp: '1999-01-01T00:00:00Z' });
    expect(await idsOf(api, 'until=2000-01-01T00:00:00Z')).toEqual([]);
    expect(await idsOf(api, 'since=2000-01-01T00:00:00Z')).toEqual([id]);
  });

  it('is paged without gaps and repetitions while events come in', async () => {
    const api = owner('pages');
    const batch = (n: number) => ({
      events: Array.from({ length: n }, (_, index) => ({
        type: `pages.${index % 2 === 0 ? 'even' : 'odd'}`,
        data: index,
      })),
    });
    const { ids } = await read<{ ids: string[] }>(api.post('/events/batch', batch(25), 202));
    const seen = await everyPage<EventBody>(async (query) => {
      const page = await api.get(`/events?type=pages.*&${query}`);
      await api.post('/events/batch', batch(3), 202);
      return page;
    }, 4);
    expect(seen.map(({ id }) => id)).toEqual([...ids].reverse());
    const even = await everyPage<EventBody>(
      (query) => api.get(`/events?type=pages.even&${query}`),
      7,
    );
    expect(new Set(even.map(({ type }) => type))).toEqual(new Set(['pages.even']));
    expect(new Set(even.map(({ id }) => id)).size).toBe(even.length);
  });

  it('ends a list exactly at its end', async () => {
    const api = owner('ends');
    await api.post(
      '/events/batch',
      { events: [1, 2, 3, 4].map((data) => ({ type: 'e', data })) },
      202,
    );
    const page = await read<PageBody<EventBody>>(api.get('/events?limit=4'));
    expect(page.data).toHaveLength(4);
    expect(page.nextCursor).toBeNull();
    const shorter = await read<PageBody<EventBody>>(api.get('/events?limit=3'));
    const rest = await read<PageBody<EventBody>>(
      api.get(`/events?limit=3&cursor=${shorter.nextCursor}`),
    );
    expect(rest.data).toHaveLength(1);
    expect(rest.nextCursor).toBeNull();
  });

  it('takes a cursor for no more than a place: another owner’s shows nothing of that owner', async () => {
    const [mine, theirs] = [owner('cursor-mine'), owner('cursor-theirs')];
    const batch = { events: [1, 2, 3].map((data) => ({ type: 'cursor.x', data })) };
    const { ids } = await read<{ ids: string[] }>(mine.post('/events/batch', batch, 202));
    await theirs.post('/events/batch', batch, 202);
    const page = await read<PageBody<EventBody>>(theirs.get('/events?limit=1'));
    const found = await idsOf(mine, `limit=200&cursor=${page.nextCursor}`);
    expect(found).toEqual([...ids].reverse());
  });
});

describe('the deliveries of an event', () => {
  it('can be seen from the moment it was accepted, whatever state they are in', async () => {
    const api = owner('visible');
    for (const path of ['/v1', '/v2']) await api.webhook(receiver.url(path), ['visible.*']);
    for (let n = 0; n < 100; n++) {
      const { id } = await publish(api, { type: 'visible.x' });
      const { data } = await read<{ data: DeliveryBody[] }>(api.get(`/events/${id}/deliveries`));
      expect(data.map(({ eventId }) => eventId)).toEqual([id, id]);
      const list = await read<PageBody<DeliveryBody>>(api.get('/deliveries?limit=2'));
      expect(list.data.map(({ eventId }) => eventId)).toEqual([id, id]);
    }
    await receiver.expectRequests(100, '/v1');
    await receiver.expectRequests(100, '/v2');
  });

  it('are found among many others that no worker has claimed', async () => {
    const waiting = await World.create();
    try {
      // A node without workers: what is accepted stays pending.
      const { api } = await waiting.start({ ROLES: 'api', REDIS_URL: redisUrl() });
      await api.webhook(receiver.url('/never'), ['pending.*']);
      const wanted = await publish(api, { type: 'pending.wanted' });
      const { timestamp } = await publishLater(api, 'pending.other', wanted);
      const others = Array.from({ length: 30 }, () => ({ type: 'pending.other', data: 1 }));
      await api.post('/events/batch', { events: others }, 202);
      for (const query of [
        'type=pending.wanted',
        `until=${timestamp}`,
        `until=${timestamp}&type=*`,
      ]) {
        const path = `/deliveries?status=pending&limit=5&${query}`;
        const { data } = await read<PageBody<DeliveryBody>>(api.get(path));
        expect(
          data.map(({ eventId }) => eventId),
          `?${query}`,
        ).toContain(wanted.id);
      }
      const { ids } = await read<{ ids: string[] }>(
        api.post('/events/batch', { events: others }, 202),
      );
      const all = await everyPage<DeliveryBody>((query) => api.get(`/deliveries?${query}`), 4);
      const seen = all.map(({ eventId }) => eventId);
      expect(seen).toEqual(expect.arrayContaining([...ids, wanted.id]));
      expect(new Set(seen).size).toBe(seen.length);
      // One of a list is there when it is asked for, for those who have the list.
      for (const delivery of [all[0]!, all.at(-1)!]) {
        const path = `/deliveries/${delivery.id}`;
        expect(await read(api.get(path))).toEqual({ ...delivery, attempts: [] });
        await api.as(tokenFor('another-owner')).get(path, 404);
      }
    } finally {
      await waiting.stop();
    }
  });
});

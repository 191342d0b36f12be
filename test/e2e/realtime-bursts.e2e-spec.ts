import { setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { bearer } from '../support/auth-app.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { SocketClient } from '../support/socket-client.js';
import { createDatabase, type TestDatabase } from '../support/stores.js';
import { WebSocketClient } from '../support/websocket-client.js';

/** A client of any transport. */
interface Listener {
  /** Asks for something and waits for the acknowledgement. */
  request(name: string, payload: object): Promise<unknown>;
  eventsUntil(id: string): Promise<string[]>;
  close(): void;
}

let database: TestDatabase;
let server: RealtimeApp;

beforeAll(async () => {
  database = await createDatabase();
  server = await startRealtimeApp(database.url, { REALTIME_MESSAGES_PER_SECOND: '10000' });
});

afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const auth = { token: tokenOf('acme') };

const TRANSPORTS: Record<string, () => Promise<Listener>> = {
  'Socket.IO over WebSocket': () =>
    SocketClient.connect(server.url, { auth, transports: ['websocket'] }),
  'Socket.IO while it upgrades': () => SocketClient.connect(server.url, { auth }),
  'Socket.IO over polling': () =>
    SocketClient.connect(server.url, { auth, transports: ['polling'] }),
  'a plain WebSocket': () => WebSocketClient.connect(server.url),
};

const streamOf = (types: string): Promise<EventStreamReader> =>
  EventStreamReader.open(
    `${server.url}/api/v1/events/stream?types=${types}`,
    bearer(tokenOf('acme')),
  );

const TYPES = ['trade.submitted', 'trade.filled', 'price'];

/** As many events as it says at a time, and the pause after them. */
const burst = fc.record({
  types: fc.array(fc.constantFrom(...TYPES), { minLength: 1, maxLength: 12 }),
  pauseMs: fc.constantFrom(0, 0, 0, 1, 4),
});

async function publishAll(bursts: { types: string[]; pauseMs: number }[]) {
  const published: { id: string; type: string }[] = [];
  for (const { types, pauseMs } of bursts) {
    for (const type of types) published.push({ id: server.publish({ type }), type });
    if (pauseMs > 0) await delay(pauseMs);
  }
  return published;
}

describe('events that come in bursts', () => {
  it.each(Object.entries(TRANSPORTS))('reach %s once and in order', async (_what, connect) => {
    await fc.assert(
      fc.asyncProperty(fc.array(burst, { minLength: 1, maxLength: 8 }), async (bursts) => {
        const client = await connect();
        await client.request('subscribe', { topics: ['trade.*', 'trade.filled'] });
        const published = await publishAll(bursts);
        const last = server.publish({ type: 'trade.filled' });
        const expected = published.filter(({ type }) => type !== 'price').map(({ id }) => id);
        expect(await client.eventsUntil(last)).toEqual([...expected, last]);
        client.close();
      }),
      { numRuns: 12 },
    );
  });

  it('reach an event stream once and in order', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(burst, { minLength: 1, maxLength: 8 }), async (bursts) => {
        const stream = await streamOf('trade.*,trade.filled');
        await stream.next('connected');
        const published = await publishAll(bursts);
        const last = server.publish({ type: 'trade.filled' });
        const expected = published.filter(({ type }) => type !== 'price').map(({ id }) => id);
        expect(await stream.eventsUntil(last)).toEqual([...expected, last]);
        stream.close();
      }),
      { numRuns: 12 },
    );
  });

  it('reach clients of all transports, each what it has subscribed to', async () => {
    const topics = [['trade.*'], ['price'], ['*'], ['trade.filled', 'price']];
    const clients = await Promise.all(
      Object.values(TRANSPORTS).map(async (connect, index) => {
        const client = await connect();
        await client.request('subscribe', { topics: [...topics[index]!, 'last'] });
        return client;
      }),
    );
    const streams = await Promise.all(
      topics.map((types) => streamOf([...types, 'last'].join(','))),
    );
    for (const stream of streams) await stream.next('connected');

    const published = await publishAll(
      Array.from({ length: 60 }, (_, index) => ({
        types: [TYPES[index % 3]!, TYPES[(index * 7) % 3]!],
        pauseMs: index % 5 === 0 ? 1 : 0,
      })),
    );
    const last = server.publish({ type: 'last' });

    for (const [index, patterns] of topics.entries()) {
      const isSubscribed = (type: string) =>
        patterns.some(
          (each) => each === '*' || each === type || type.startsWith(each.slice(0, -1)),
        );
      const expected = [
        ...published.filter(({ type }) => isSubscribed(type)).map(({ id }) => id),
        last,
      ];
      expect(await clients[index]!.eventsUntil(last)).toEqual(expected);
      expect(await streams[index]!.eventsUntil(last)).toEqual(expected);
    }
    for (const each of [...clients, ...streams]) each.close();
  });

  it('stay in their place among acknowledgements, over Socket.IO', async () => {
    for (const transports of [['websocket'], ['polling']]) {
      const client = await SocketClient.connect(server.url, { auth, transports });
      const seen: string[] = [];
      client.socket.on('event', ({ id }: { id: string }) => seen.push(id));
      await client.subscribe('trade.*');
      const expected: string[] = [];
      for (let round = 0; round < 20; round++) {
        expected.push(server.publish({}), server.publish({}), server.publish({}));
        // The server takes the request after it has received the events.
        await client.request('ping', {});
        expect(seen).toEqual(expected);
      }
      client.close();
    }
  });

  it('stay in their place among acknowledgements, over a plain WebSocket', async () => {
    const client = await WebSocketClient.connect(server.url);
    const seen: unknown[] = [];
    client.socket.on('message', (data: Buffer) => {
      const { type, event } = JSON.parse(data.toString()) as {
        type: string;
        event: { id: string };
      };
      if (type === 'event') seen.push(event.id);
    });
    await client.request('subscribe', { topics: ['trade.*'] });
    const expected: string[] = [];
    for (let round = 0; round < 20; round++) {
      expected.push(server.publish({}), server.publish({}), server.publish({}));
      await client.request('ping');
      expect(seen).toEqual(expected);
    }
    client.close();
  });

  it.each(Object.entries(TRANSPORTS))(
    'end for %s with its subscription, whatever was waiting',
    async (_what, connect) => {
      const client = await connect();
      for (let round = 0; round < 10; round++) {
        await client.request('subscribe', { topics: ['trade.*'] });
        const expected = [server.publish({}), server.publish({})];
        // Published before the request is taken, or after its acknowledgement has been sent.
        await client.request('unsubscribe', { topics: ['trade.*'] });
        server.publish({});
        server.publish({});
        await client.request('subscribe', { topics: ['last'] });
        const last = server.publish({ type: 'last' });
        expect(await client.eventsUntil(last)).toEqual([...expected, last]);
        await client.request('unsubscribe', { topics: ['last'] });
      }
      client.close();
    },
  );
});

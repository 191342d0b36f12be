import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket } from 'ws';
import { newId } from '../../src/shared/ids.js';
import { Connections } from '../../src/realtime/connections/connections.service.js';
import { MAX_BACKLOG_BYTES } from '../../src/realtime/limits.js';
import type { Connection } from '../../src/realtime/connections/realtime.connection.js';
import { bearer, seconds, soon } from '../support/auth-app.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { eventStream, socketIo, untilTestEnds, webSocket } from '../support/short-lived.js';
import { SocketClient } from '../support/socket-client.js';
import { createDatabase, type TestDatabase } from '../support/stores.js';
import { authorized, WebSocketClient } from '../support/websocket-client.js';

let database: TestDatabase;
/** Of the tests that change no setting. */
let server: RealtimeApp;

beforeAll(async () => {
  database = await createDatabase();
  server = await startRealtimeApp(database.url);
});

afterAll(async () => {
  await server?.close();
  await database?.drop();
});

/** With settings of its own. */
const start = async (env: Record<string, string>): Promise<RealtimeApp> =>
  untilTestEnds(await startRealtimeApp(database.url, env));

const streamUrl = ({ url }: RealtimeApp) => `${url}/api/v1/events/stream`;

const connectionOf = ({ app }: RealtimeApp, owner: string): Connection | undefined =>
  [...app.get(Connections, { strict: false }).all()].find(
    ({ principal }) => principal.ownerId === owner,
  );

/** Connects without Socket.IO's own client. */
async function rawSocketIo({ url }: RealtimeApp, owner: string): Promise<WebSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`);
  const frames: string[] = [];
  socket.on('message', (data: Buffer) => frames.push(data.toString()));
  onTestFinished(() => socket.terminate());
  await once(socket, 'open');
  socket.send(`40${JSON.stringify({ token: tokenOf(owner) })}`);
  await expect.poll(() => frames.some((frame) => frame.startsWith('42["connected"'))).toBe(true);
  return socket;
}

/** Connects over one of the transports; fails with the code of the refusal where there is one. */
const TRANSPORTS: Record<string, (app: RealtimeApp, owner: string) => Promise<{ close(): void }>> =
  {
    'Socket.IO': (app, owner) =>
      socketIo(app, owner).catch((error: Error & { data?: unknown }) => {
        // A client that finds a reason there does not come back by itself.
        throw new Error(error.data === undefined ? 'too_many_connections' : 'refused for good');
      }),
    'a plain WebSocket': async ({ url }, owner) => {
      const socket = new WebSocket(`${url.replace('http', 'ws')}/ws`, authorized(owner));
      onTestFinished(() => socket.terminate());
      const [first] = (await once(socket, 'message')) as [Buffer];
      const { type } = JSON.parse(first.toString()) as { type: string };
      if (type === 'connected') return socket;
      const [code, reason] = (await once(socket, 'close')) as [number, Buffer];
      throw new Error(code < 3500 ? reason.toString() : 'refused for good');
    },
    'an event stream': async (app, owner) => {
      const abort = new AbortController();
      const close = () => abort.abort();
      onTestFinished(close);
      const headers = bearer(tokenOf(owner));
      const response = await fetch(streamUrl(app), { headers, signal: abort.signal });
      if (response.ok) return { close };
      throw new Error(((await response.json()) as { code: string }).code);
    },
  };
const transports = Object.entries(TRANSPORTS);

describe('connections', () => {
  const LIMITS = [
    ['of one owner', { REALTIME_MAX_CONNECTIONS_PER_USER: '3' }, true],
    ['of one address', { REALTIME_MAX_CONNECTIONS_PER_IP: '3' }, false],
    ['in all', { REALTIME_MAX_CONNECTIONS: '3' }, false],
  ] as const;
  it.each(LIMITS)('%s are limited over all transports together', async (_what, env, othersMay) => {
    const app = await start(env);
    const open: { close(): void }[] = [];
    for (const [, connect] of transports) open.push(await connect(app, 'acme'));
    for (const [, connect] of transports) {
      await expect(connect(app, 'acme')).rejects.toThrow('too_many_connections');
    }
    const other = TRANSPORTS['Socket.IO']!(app, 'other');
    if (othersMay) (await other).close();
    else await expect(other).rejects.toThrow('too_many_connections');

    for (const [index, [, connect]] of transports.entries()) {
      open[index]!.close();
      const again = () => connect(app, 'acme').then((client) => client.close());
      await expect
        .poll(
          () =>
            again().then(
              () => true,
              () => false,
            ),
          { timeout: 10_000 },
        )
        .toBe(true);
    }
  });

  it('that come at once are counted, too', async () => {
    const app = await start({ REALTIME_MAX_CONNECTIONS_PER_USER: '5' });
    for (const [, connect] of transports) {
      const owner = randomUUID();
      const results = await Promise.allSettled(
        Array.from({ length: 20 }, () => connect(app, owner)),
      );
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(5);
    }
  });

  it('of pages need an allowed origin with Socket.IO, over both of its transports', async () => {
    const app = await start({ REALTIME_ALLOWED_ORIGINS: 'https://app.example.com' });
    const auth = { token: tokenOf('acme') };
    for (const transport of ['websocket', 'polling']) {
      const connect = (origin: string) =>
        SocketClient.connect(app.url, { auth, transports: [transport], extraHeaders: { origin } });
      await expect(connect('https://evil.example')).rejects.toThrow();
      const client = await connect('https://app.example.com');
      expect(await client.request('ping', {})).toEqual({ ok: true });
      client.close();
    }
    const polling = `${app.url}/socket.io/?EIO=4&transport=polling`;
    const answerTo = (origin: string) => fetch(polling, { headers: { origin } });
    const allowed = (await answerTo('https://app.example.com')).headers;
    expect(allowed.get('access-control-allow-origin')).toBe('https://app.example.com');
    const refused = await answerTo('https://evil.example');
    expect(refused.status).toBe(403);
    expect(refused.headers.get('access-control-allow-origin')).toBeNull();
  });
});

describe('clients that have not presented a credential', () => {
  const handshake = ({ url }: RealtimeApp, localAddress: string) =>
    new WebSocket(`${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`, {
      localAddress,
    });
  const isOpen = (socket: WebSocket): Promise<boolean> => {
    onTestFinished(() => socket.terminate());
    return new Promise((resolve) => {
      socket.on('open', () => resolve(true));
      socket.on('error', () => resolve(false));
    });
  };

  it('have a share of each address, which leaves others theirs', async () => {
    const app = await start({ REALTIME_MAX_HANDSHAKES_PER_IP: '20' });
    const waiting = Array.from({ length: 50 }, () => handshake(app, '127.0.0.1'));
    const results = await Promise.all(waiting.map(isOpen));
    expect(results.filter(Boolean)).toHaveLength(20);
    for (const [, connect] of transports) {
      await expect(connect(app, 'acme')).rejects.toThrow();
    }
    const other = handshake(app, '127.0.0.2');
    expect(await isOpen(other)).toBe(true);
    for (const socket of waiting) socket.terminate();
    for (const [, connect] of transports) {
      await expect.poll(() => connect(app, 'acme').then(Boolean, () => false)).toBe(true);
    }
  });

  it('are not counted any more once they have', async () => {
    const app = await start({ REALTIME_MAX_HANDSHAKES_PER_IP: '1' });
    for (let n = 0; n < 3; n++) {
      for (const [, connect] of transports) await connect(app, 'acme');
    }
  });
});

describe('messages', () => {
  const env = { REALTIME_MESSAGES_PER_SECOND: '5' };
  const pings = (request: () => Promise<Record<string, unknown>>) =>
    Promise.all(Array.from({ length: 40 }, request));
  const refused = expect.objectContaining({
    ok: false,
    error: {
      code: 'rate_limited',
      message: expect.any(String) as unknown,
      retryAfterMs: expect.toSatisfy((ms: number) => ms > 0 && ms <= 200) as unknown,
      remaining: 0,
    },
  }) as unknown;

  it.each([
    [
      'Socket.IO',
      async (app: RealtimeApp) => {
        const client = await socketIo(app, 'acme');
        return () => client.request('ping', {});
      },
    ],
    [
      'a plain WebSocket',
      async (app: RealtimeApp) => {
        const client = await webSocket(app, 'acme');
        return () => client.request('ping');
      },
    ],
  ])('over %s are limited, and accepted again later', async (_what, connect) => {
    const ping = await connect(await start(env));
    const answers = await pings(ping);
    expect(answers.filter(({ ok }) => ok === true).length).toBeGreaterThanOrEqual(10);
    expect(answers.at(-1)).toEqual(refused);
    await expect
      .poll(async () => (await ping())['ok'], { timeout: 10_000, interval: 250 })
      .toBe(true);
  });

  /** Sends one message of a kind. */
  type Send = (client: { ws: WebSocketClient; io: WebSocket }) => void;
  const FLOODS: [string, Send][] = [
    ['requests', ({ ws }) => ws.send({ type: 'ping' })],
    ['text', ({ ws }) => ws.send('text')],
    ['binary frames', ({ ws }) => ws.send(Buffer.from('x'))],
    ['answers to heartbeats', ({ ws }) => ws.send({ type: 'pong' })],
    ['pings of the protocol', ({ ws }) => ws.socket.ping()],
    ['pongs of the protocol', ({ ws }) => ws.socket.pong()],
    ['requests over Socket.IO', ({ io }) => io.send('420["ping",{}]')],
    ['events without an acknowledgement', ({ io }) => io.send('42["nonsense"]')],
    ['other packets of Socket.IO', ({ io }) => io.send('40/other,')],
    ['acknowledgements of nothing', ({ io }) => io.send('4377[]')],
  ];

  /** In portions over time: some of them are granted in between. */
  it.each(FLOODS)(
    'such as %s, sent on and on in spite of refusals, end the connection',
    async (_what, send) => {
      const app = await start({ REALTIME_MESSAGES_PER_SECOND: '50' });
      const ws = await webSocket(app, 'ws');
      const io = await rawSocketIo(app, 'io');
      const ended = [ws.closed, once(io, 'close')];
      const flooded = ['ws', 'io'].map((owner) => connectionOf(app, owner)!);
      const flood = setInterval(() => {
        for (let n = 0; n < 100; n++) send({ ws, io });
      }, 50);
      onTestFinished(() => clearInterval(flood));
      await Promise.race(ended);
      expect(flooded.map(({ closeReason }) => closeReason)).toContain('rate_limited');
    },
  );

  it('that are a little too many are refused, and do not end the connection', async () => {
    const app = await start({ REALTIME_MESSAGES_PER_SECOND: '50' });
    const client = await webSocket(app, 'acme');
    await Promise.all(Array.from({ length: 500 }, () => client.request('ping')));
    expect(client.socket.readyState).toBe(WebSocket.OPEN);
  });
});

describe('auth:refresh', () => {
  const tokens = (claims: object = {}, owner = 'acme') => ({ token: tokenOf(owner, claims) });
  const inSeconds = (s: number) => seconds() + s;

  it('lets a connection outlive its first token', async () => {
    const claims = { exp: soon() };
    const refreshed = await socketIo(server, 'acme', claims);
    const control = await socketIo(server, 'acme', claims);
    const plain = await webSocket(server, 'acme', claims);
    const exp = inSeconds(60);
    const expiresAt = new Date(exp * 1000).toISOString();
    expect(await refreshed.request('auth:refresh', tokens({ exp }))).toEqual({
      ok: true,
      topics: [],
      dropped: [],
      expiresAt,
    });
    expect(await plain.request('auth:refresh', tokens({ exp }))).toMatchObject({ expiresAt });
    await control.next('disconnect');
    expect(await refreshed.request('ping', {})).toEqual({ ok: true });
    expect(await plain.request('ping')).toMatchObject({ ok: true });
  });

  it('drops topics that the new token does not allow, and keeps the others', async () => {
    const owner = randomUUID();
    const client = await socketIo(server, owner);
    await client.subscribe('price', 'trade.*', 'the.end');
    const token = tokenOf(owner, { topics: ['trade.*', 'the.end'] });
    expect(await client.request('auth:refresh', { token })).toMatchObject({
      ok: true,
      topics: ['trade.*', 'the.end'],
      dropped: ['price'],
    });
    server.publish({ ownerId: owner, type: 'price' });
    const received = ['trade.a', 'the.end'].map((type) => server.publish({ ownerId: owner, type }));
    expect(await client.eventsUntil(received.at(-1)!)).toEqual(received);
    expect(await client.request('subscribe', { topics: ['price'] })).toMatchObject({ ok: false });
  });

  it('changes what is received when the rights of an admin come or go', async () => {
    const client = await socketIo(server, 'acme', { roles: ['admin'] });
    await client.subscribe('*');
    const foreign = () => server.publish({ ownerId: 'other' });
    const first = foreign();
    await client.request('auth:refresh', tokens());
    foreign();
    const own = server.publish({ ownerId: 'acme' });
    const open = server.publish({});
    await client.request('auth:refresh', tokens({ roles: ['admin'] }));
    const last = foreign();
    expect(await client.eventsUntil(last)).toEqual([first, own, open, last]);
  });

  it.each([
    ['of another owner', 'forbidden', () => tokens({}, 'other')],
    ['that is none', 'invalid_token', () => ({ token: 'nonsense' })],
    ['that has ended', 'token_expired', () => tokens({ exp: inSeconds(-60) })],
    ['that is missing', 'invalid_input', () => ({})],
    ['that is no text', 'invalid_input', () => ({ token: 5 })],
  ])('refuses a token %s, and changes nothing', async (_what, code, payload) => {
    const client = await socketIo(server, 'acme');
    await client.subscribe('*');
    expect(await client.request('auth:refresh', payload())).toMatchObject({
      ok: false,
      error: { code },
    });
    server.publish({ ownerId: 'other' });
    const own = server.publish({ ownerId: 'acme' });
    expect(await client.eventsUntil(own)).toEqual([own]);
  });

  it('takes several at once in their order', async () => {
    const owner = randomUUID();
    const client = await socketIo(server, owner);
    const answers = await Promise.all(
      [10, 20, 30].map((s) => client.request('auth:refresh', tokens({ exp: inSeconds(s) }, owner))),
    );
    expect(answers.every(({ ok }) => ok)).toBe(true);
    const { expiresAtMs } = connectionOf(server, owner)!.principal;
    expect(new Date(expiresAtMs!).toISOString()).toBe(answers.at(-1)!['expiresAt']);
  });
});

describe('a client that stops reading', () => {
  /** Connects, subscribes to everything, and reads no more. */
  const PAUSED: [string, (app: RealtimeApp, owner: string) => Promise<void>][] = [
    [
      'Socket.IO',
      async (app, owner) => {
        const socket = await rawSocketIo(app, owner);
        const frames: string[] = [];
        socket.on('message', (data: Buffer) => frames.push(data.toString()));
        socket.send('421["subscribe",{"topics":["*"]}]');
        await expect.poll(() => frames.some((frame) => frame.startsWith('431'))).toBe(true);
        socket.pause();
      },
    ],
    [
      'Socket.IO, polling',
      async ({ url }, owner) => {
        const options = { auth: { token: tokenOf(owner) }, transports: ['polling'] };
        const client = untilTestEnds(await SocketClient.connect(url, options));
        await client.subscribe('*');
        const engine = client.socket.io.engine as unknown as { transport: { doPoll(): void } };
        engine.transport.doPoll = () => undefined;
      },
    ],
    [
      'a plain WebSocket',
      async (app, owner) => {
        const client = await webSocket(app, owner);
        await client.request('subscribe', { topics: ['*'] });
        client.socket.pause();
      },
    ],
    [
      'an event stream',
      async (app, owner) => {
        const reader = await eventStream(app, owner);
        await reader.next('connected');
        reader.response.pause();
      },
    ],
  ];

  const BODY = 'x'.repeat(64 * 1024);
  const large = (ownerId: string | null) => {
    const id = newId('evt');
    return { id, ownerId, body: JSON.stringify({ id, data: BODY }) };
  };

  it.each(PAUSED)(
    'over %s costs little and is disconnected, without effect on others',
    async (_what, connect) => {
      const other = await webSocket(server, 'other');
      await other.request('subscribe', { topics: ['*'] });
      const owner = randomUUID();
      await connect(server, owner);
      let backlog = 0;
      const sent: string[] = [];
      for (
        let connection = connectionOf(server, owner);
        connection;
        connection = connectionOf(server, owner)
      ) {
        for (let n = 0; n < 4; n++) sent.push(server.publish(large(null)));
        backlog = Math.max(backlog, connection.backlogBytes);
        await new Promise((resolve) => setImmediate(resolve));
      }
      expect(backlog).toBeGreaterThan(0);
      expect(backlog).toBeLessThan(MAX_BACKLOG_BYTES + 10 * BODY.length);
      expect(await other.eventsUntil(sent.at(-1)!)).toEqual(sent);
    },
    30_000,
  );

  it.each(PAUSED)(
    'over %s is disconnected although little waits for it',
    async (_what, connect) => {
      const owner = randomUUID();
      await connect(server, owner);
      const connection = connectionOf(server, owner)!;
      // Until the buffers of the kernel are full.
      await expect
        .poll(
          () => {
            server.publish(large(owner));
            return connection.backlogBytes;
          },
          { interval: 5, timeout: 15_000 },
        )
        .toBeGreaterThan(4 * BODY.length);
      const isGone = () => connectionOf(server, owner) === undefined;
      await expect.poll(isGone, { timeout: 15_000 }).toBe(true);
    },
    30_000,
  );
});

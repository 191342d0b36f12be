import { describe, expect, it } from 'vitest';
import { TidingsClient } from '../src/client.js';
import type { ClientOptions } from '../src/client-options.js';
import type { Runtime } from '../src/runtime.js';
import { TidingsError } from '../src/tidings-error.js';
import { AT_ONCE, MemoryServer, settled } from './memory-server.js';

const EVENT_ID = 'evt_0';

/** A client on a server in memory, with everything that it has reported to its callbacks. */
async function started(options: Partial<ClientOptions> = {}, runtime: Runtime = AT_ONCE) {
  const server = new MemoryServer();
  const notified: unknown[] = [];
  const client = new TidingsClient(
    {
      url: 'http://localhost',
      transport: server,
      overlapMs: 0,
      onGap: (gap) => notified.push(['gap', gap.after]),
      onError: ({ code }) => notified.push(['error', code]),
      ...options,
    },
    runtime,
  );
  await settled();
  const welcome = async () => {
    server.welcome();
    await settled();
    while (server.deliver('replay')) await settled();
  };
  const live = async () => {
    while (server.deliver('live')) await settled();
  };
  /** The requests to the server on the last connection. */
  const asked = () => server.opened.at(-1)!.requests.map(({ name, payload }) => [name, payload]);
  return { server, client, notified, welcome, live, asked };
}

describe('subscriptions', () => {
  it('made right after connect are sent in one request, and resume after the given event', async () => {
    const { client, welcome, asked } = await started({ after: EVENT_ID });
    client.subscribe(['trade.*', { type: 'price', subject: 'AAPL' }], () => undefined);
    client.subscribe(['trade.*', 'news'], () => undefined);
    await welcome();
    const topics = ['trade.*', { type: 'price', subject: 'AAPL' }, 'news'];
    expect(asked()).toEqual([['subscribe', { topics, after: EVENT_ID }]]);
  });

  it('made while connected begin now, and do not move the position', async () => {
    const { server, client, welcome, live, asked } = await started({ after: EVENT_ID });
    client.subscribe(['a'], () => undefined);
    await welcome();
    const first = server.publish('a');
    await live();
    const { ready } = client.subscribe(['b'], () => undefined);
    await settled();
    await welcome();
    await ready;
    expect(asked().at(-1)).toEqual(['subscribe', { topics: ['b'] }]);
    expect(client.lastEventId).toBe(first);
  });

  it('are all resumed together, after the last handled event', async () => {
    const { server, client, welcome, live, asked } = await started();
    client.subscribe(['a'], () => undefined);
    await welcome();
    client.subscribe(['b'], () => undefined);
    await settled();
    await welcome();
    const last = server.publish('b');
    await live();
    server.cut();
    await settled();
    await welcome();
    expect(asked()).toEqual([['subscribe', { topics: ['a', 'b'], after: last }]]);
  });

  it('that are the first ones, made after connecting, resume after the given event too', async () => {
    const { client, welcome, asked } = await started({ after: EVENT_ID });
    await welcome();
    client.subscribe(['a'], () => undefined);
    await settled();
    expect(asked()).toEqual([['subscribe', { topics: ['a'], after: EVENT_ID }]]);
  });

  it('get the events of their topics, and no others', async () => {
    const { server, client, welcome, live } = await started();
    const received: Record<string, string[]> = { a: [], below: [], all: [], subject: [] };
    client.subscribe(['a'], ({ id }) => received['a']!.push(id));
    client.subscribe(['a.*'], ({ id }) => received['below']!.push(id));
    client.subscribe(['*', 'a'], ({ id }) => received['all']!.push(id));
    client.subscribe([{ type: '*', subject: 's' }], ({ id }) => received['subject']!.push(id));
    await welcome();
    for (const type of ['a', 'a.b', 'a.b.c', 'ab']) server.publish(type);
    server.publish('z', { subject: 's' });
    await live();
    expect(received).toEqual({
      a: ['evt_1'],
      below: ['evt_2', 'evt_3'],
      all: ['evt_1', 'evt_2', 'evt_3', 'evt_4', 'evt_5'],
      subject: ['evt_5'],
    });
  });

  it('that were ended get no more events, and only their own topics are unsubscribed', async () => {
    const { server, client, welcome, live, asked } = await started();
    const received: string[] = [];
    const first = client.subscribe(['a', 'b'], ({ id }) => received.push(`first ${id}`));
    client.subscribe(['b'], ({ id }) => received.push(`second ${id}`));
    await welcome();
    first.unsubscribe();
    first.unsubscribe();
    await settled();
    server.publish('b');
    await live();
    expect(asked().slice(1)).toEqual([['unsubscribe', { topics: ['a'] }]]);
    expect(received).toEqual(['second evt_1']);
  });

  it('that the server refuses are reported, and the others are not affected', async () => {
    const { server, client, notified, welcome, asked } = await started({ after: EVENT_ID });
    server.respond = (_name, { topics }) =>
      (topics as string[]).includes('secret')
        ? { ok: false, error: { code: 'forbidden', message: 'no' } }
        : undefined;
    const good = client.subscribe(['a'], () => undefined);
    const bad = client.subscribe(['secret'], () => undefined);
    await welcome();
    await good.ready;
    await expect(bad.ready).rejects.toMatchObject({ code: 'forbidden' });
    expect(notified).toEqual([['error', 'forbidden']]);
    server.cut();
    await settled();
    await welcome();
    expect(asked()).toEqual([['subscribe', { topics: ['a'], after: EVENT_ID }]]);
  });

  it('that the server cannot accept at the moment are tried again on a new connection', async () => {
    const { server, client, welcome } = await started();
    server.respond = () => ({ ok: false, error: { code: 'rate_limited', message: 'later' } });
    const { ready } = client.subscribe(['a'], () => undefined);
    await welcome();
    server.respond = () => undefined;
    await welcome();
    await ready;
    expect(server.opened).toHaveLength(2);
  });
});

describe('a gap', () => {
  it('is reported when the log does not reach back', async () => {
    const { server, client, notified, welcome } = await started({ after: EVENT_ID });
    server.respond = (name) => (name === 'subscribe' ? { ok: true, recovered: false } : undefined);
    client.subscribe(['a'], () => undefined);
    await welcome();
    expect(notified).toEqual([['gap', EVENT_ID]]);
  });

  it('is reported when a connection was lost before the first event', async () => {
    const { server, client, notified, welcome } = await started();
    client.subscribe(['a'], () => undefined);
    await welcome();
    expect(notified).toEqual([]);
    server.cut();
    await settled();
    await welcome();
    expect(notified).toEqual([
      ['error', 'connection_lost'],
      ['gap', undefined],
    ]);
  });
});

describe('handlers', () => {
  it('that return promises get one event at a time, and the position follows them', async () => {
    const positions: string[] = [];
    const { server, client, welcome, live } = await started({
      onPosition: (id) => positions.push(id),
    });
    const finish: (() => void)[] = [];
    client.subscribe(['a'], () => new Promise<void>((resolve) => finish.push(resolve)));
    await welcome();
    server.publish('a');
    server.publish('a');
    await live();
    expect({ running: finish.length, positions }).toEqual({ running: 1, positions: [] });
    finish[0]!();
    await settled();
    expect({ running: finish.length, positions }).toEqual({ running: 2, positions: ['evt_1'] });
    finish[1]!();
    await settled();
    expect(client.lastEventId).toBe('evt_2');
  });

  it('that throw or reject are reported, and affect neither the others nor the order', async () => {
    const { server, client, notified, welcome, live } = await started();
    const received: string[] = [];
    client.subscribe(['a'], () => {
      throw new Error('at once');
    });
    client.subscribe(['a'], () => Promise.reject(new Error('later')));
    client.subscribe(['a'], ({ id }) => received.push(id));
    await welcome();
    server.publish('a');
    server.publish('a');
    await live();
    expect(received).toEqual(['evt_1', 'evt_2']);
    expect(notified).toEqual([1, 2, 3, 4].map(() => ['error', 'handler_failed']));
    expect(client.lastEventId).toBe('evt_2');
  });

  it('are not called any more after close, even for events that have arrived', async () => {
    const { server, client, welcome, live } = await started();
    const received: string[] = [];
    let finish = () => {};
    client.subscribe(['a'], ({ id }) => {
      received.push(id);
      return new Promise<void>((resolve) => (finish = resolve));
    });
    await welcome();
    server.publish('a');
    server.publish('a');
    await live();
    client.close();
    finish();
    await settled();
    expect({ received, last: client.lastEventId }).toEqual({ received: ['evt_1'], last: 'evt_1' });
  });
});

describe('reconnecting', () => {
  it('stops when the server forbids it: by close code, or by its last error', async () => {
    const last = { code: 'api_key_expired', message: 'over', reconnect: false };
    const first = await started();
    await first.welcome();
    first.server.cut({ reason: 'closed_by_operator', code: 3502 });
    await settled();
    const second = await started();
    await second.welcome();
    second.server.client!.onFrame('error', last);
    second.server.cut({ reason: 'io server disconnect' });
    await settled();
    expect([first.client.state, second.client.state]).toEqual(['closed', 'closed']);
    expect([first.server.opened.length, second.server.opened.length]).toEqual([1, 1]);
    expect(second.notified).toEqual([['error', 'api_key_expired']]);
  });

  it('continues after an error that was not the last frame, and after close codes that allow it', async () => {
    const { server, client, welcome } = await started();
    await welcome();
    server.client!.onFrame('error', { code: 'invalid_input', message: 'x', reconnect: false });
    server.client!.onFrame('pong', {});
    server.cut();
    await settled();
    await welcome();
    server.client!.onFrame('error', { code: 'token_expired', message: 'x', reconnect: true });
    server.cut({ reason: 'token_expired', code: 3001 });
    await settled();
    await welcome();
    expect([client.state, server.opened.length]).toEqual(['connected', 3]);
  });

  it('gets a new token for each connection, and stops when three in a row are refused', async () => {
    let tokens = 0;
    const { server, client } = await started({ getToken: () => `token-${++tokens}` });
    const refusal = { code: 'token_expired', message: 'old' };
    for (let round = 0; round < 10 && client.state !== 'closed'; round++) {
      server.cut({ reason: 'refused', refusal });
      await settled();
    }
    expect(server.opened.map(({ token }) => token)).toEqual([1, 2, 3, 4].map((n) => `token-${n}`));
    expect(client.state).toBe('closed');
  });

  it('stops at once with a token that cannot be renewed', async () => {
    const { server, client } = await started({ token: 'old' });
    const refusal = { code: 'token_expired', message: 'old' };
    const { ready } = client.subscribe(['a'], () => undefined);
    server.cut({ reason: 'refused', refusal });
    await expect(ready).rejects.toBeInstanceOf(TidingsError);
    expect(client.state).toBe('closed');
  });

  it('waits as long as a draining server says, otherwise longer each time', async () => {
    const waits: number[] = [];
    const runtime: Runtime = {
      ...AT_ONCE,
      sleep: (ms, signal) => {
        if (ms < 20_000) waits.push(ms);
        return AT_ONCE.sleep(Math.min(ms, ms === 20_000 ? ms : 1), signal);
      },
    };
    const { server, welcome } = await started({}, runtime);
    for (let round = 0; round < 4; round++) {
      server.cut();
      await settled();
    }
    await welcome();
    server.client!.onFrame('draining', { reconnectInMs: 1_234 });
    server.cut();
    await settled();
    server.cut();
    await settled();
    expect(waits).toEqual([375, 750, 1_500, 3_000, 1_234, 375]);
  });

  it('tries again when getToken fails', async () => {
    let calls = 0;
    const { client, notified, welcome } = await started({
      getToken: () => (++calls < 3 ? Promise.reject(new Error('no network')) : 'good'),
    });
    await settled();
    await welcome();
    expect(notified).toEqual([1, 2].map(() => ['error', 'token_unavailable']));
    expect(client.state).toBe('connected');
  });

  it('happens when the server sends nothing while a request is open', async () => {
    let silenceEnds = () => {};
    const runtime: Runtime = {
      ...AT_ONCE,
      sleep: (ms, signal) =>
        ms === 77 ? new Promise((resolve) => (silenceEnds = resolve)) : AT_ONCE.sleep(ms, signal),
    };
    const { server } = await started({ timeoutMs: 77 }, runtime);
    silenceEnds();
    await settled();
    expect(server.opened).toHaveLength(2);
  });
});

describe('a token', () => {
  const jwt = (exp: number) => `x.${Buffer.from(JSON.stringify({ exp })).toString('base64url')}.x`;

  it('is renewed on the connection before it ends', async () => {
    const waits: (() => void)[] = [];
    const runtime: Runtime = {
      ...AT_ONCE,
      sleep: (ms, signal) =>
        ms === 70_000
          ? new Promise((resolve) => waits.push(resolve))
          : AT_ONCE.sleep(Math.max(ms, 10_000), signal),
    };
    let exp = 0;
    const { welcome, asked } = await started({ getToken: () => jwt((exp += 100)) }, runtime);
    await welcome();
    waits[0]!();
    await settled();
    expect(asked()).toEqual([['auth:refresh', { token: jwt(200) }]]);
  });
});

describe('messages', () => {
  it('are sent while there is a connection, and refused while there is none', async () => {
    const { server, client, welcome, asked } = await started();
    await expect(client.messages.broadcast('early')).rejects.toMatchObject({
      code: 'not_connected',
    });
    await welcome();
    await client.messages.broadcast('to all');
    await client.messages.private('acme', { text: 'to one' });
    await client.messages.chat('to some', 'room');
    await client.messages.chat('to the common room');
    expect(asked()).toEqual([
      ['broadcast', { message: 'to all' }],
      ['private', { to: 'acme', message: { text: 'to one' } }],
      ['chat', { message: 'to some', room: 'room' }],
      ['chat', { message: 'to the common room' }],
    ]);
    server.respond = () => ({ ok: false, error: { code: 'rate_limited', message: 'later' } });
    await expect(client.messages.broadcast('x')).rejects.toMatchObject({ code: 'rate_limited' });
  });

  it('are passed to listeners until these stop', async () => {
    const { server, client, welcome } = await started();
    const received: unknown[] = [];
    const stop = client.messages.listen(({ message }) => received.push(message));
    await welcome();
    server.client!.onFrame('message', { kind: 'broadcast', message: 1 });
    stop();
    server.client!.onFrame('message', { kind: 'broadcast', message: 2 });
    expect(received).toEqual([1]);
  });
});

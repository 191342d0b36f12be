import { randomUUID } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { bearer, seconds } from '../support/auth-app.js';
import { eventually } from '../support/eventually.js';
import { EventStreamReader } from '../support/event-stream-reader.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { createDatabase, type TestDatabase } from '../support/stores.js';

let database: TestDatabase;
let server: RealtimeApp;
const readers: { close(): void }[] = [];

const streamUrl = (query = '', { url } = server) => `${url}/api/v1/events/stream${query}`;

async function open(
  query = '',
  headers: Record<string, string> = bearer(tokenOf('acme')),
): Promise<EventStreamReader> {
  const reader = await EventStreamReader.open(streamUrl(query), headers);
  readers.push(reader);
  return reader;
}

beforeAll(async () => {
  database = await createDatabase();
  server = await startRealtimeApp(database.url);
});

afterEach(() => {
  for (const reader of readers.splice(0)) reader.close();
});

afterAll(async () => {
  await server?.close();
  await database?.drop();
});

/** The bytes that a client receives, before anything has read them. */
async function rawStream(version: string, owner: string) {
  const { port, host } = new URL(server.url);
  const socket = connectTcp(Number(port), '127.0.0.1');
  readers.push({ close: () => socket.destroy() });
  const received: Buffer[] = [];
  socket.on('data', (data: Buffer) => received.push(data));
  socket.write(
    `GET /api/v1/events/stream HTTP/${version}\r\nHost: ${host}\r\n` +
      `Authorization: Bearer ${tokenOf(owner)}\r\n\r\n`,
  );
  const all = () => Buffer.concat(received);
  const end = '\r\n\r\n';
  await eventually(() => expect(all().toString()).toContain('event: connected'));
  const at = all().indexOf(end);
  return { head: all().subarray(0, at).toString(), body: () => all().subarray(at + end.length) };
}

/** RFC 9112, 7.1. */
function chunksOf(body: Buffer): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < body.length;) {
    const end = body.indexOf('\r\n', at);
    const length = Number.parseInt(body.subarray(at, end).toString(), 16);
    const chunk = body.subarray(end + 2, end + 2 + length);
    expect(body.subarray(end + 2 + length, end + 4 + length).toString()).toBe('\r\n');
    chunks.push(chunk);
    at = end + 4 + length;
  }
  return chunks;
}

describe('GET /events/stream', () => {
  it('begins with a greeting', async () => {
    const reader = await open();
    expect(await reader.next('connected')).toMatchObject({
      retry: '2000',
      data: {
        connectionId: expect.stringMatching(/^con_/) as unknown,
        userId: 'acme',
        heartbeatMs: 15_000,
        limits: { topics: 100 },
      },
    });
    expect(reader.response.headers).toMatchObject({
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    });
  });

  it('carries the envelope, whose id is that of the block', async () => {
    const owner = randomUUID();
    const reader = await open('', bearer(tokenOf(owner)));
    await reader.next('connected');
    const envelope = {
      id: 'evt_01',
      type: 'open',
      timestamp: '2026-01-31T12:00:00.000Z',
      data: { text: 'lines\n\n\r\nand ☃ 𝄞\u2028' },
    };
    server.publish({ ...envelope, ownerId: owner, body: JSON.stringify(envelope) });
    expect(await reader.next('event')).toEqual({ event: 'event', id: 'evt_01', data: envelope });
  });

  it('is sent in chunks, one per block, so that a client is given each block at once', async () => {
    const owner = randomUUID();
    const { head, body } = await rawStream('1.1', owner);
    expect(head).toMatch(/transfer-encoding: chunked/i);
    const id = server.publish({
      ownerId: owner,
      body: JSON.stringify({ id: 'evt_02', data: '☃𝄞' }),
      id: 'evt_02',
    });
    await eventually(() => expect(body().toString()).toContain(`id: ${id}`));
    const chunks = chunksOf(body());
    expect(chunks.map((chunk) => chunk.toString().split('\n').length > 2)).not.toContain(false);
    for (const chunk of chunks) expect(chunk.subarray(-2).toString()).toBe('\n\n');
    expect(chunks.at(-1)!.toString()).toContain('☃𝄞');
  });

  it('is sent as it is to a client of HTTP/1.0', async () => {
    const owner = randomUUID();
    const { head, body } = await rawStream('1.0', owner);
    expect(head).not.toMatch(/transfer-encoding/i);
    await eventually(() => expect(body().toString()).toMatch(/^(:\n\n)?id: pos_/));
    const id = server.publish({ ownerId: owner });
    await eventually(() => expect(body().toString()).toContain(`\n\nid: ${id}\nevent: event\n`));
  });

  it.each([
    ['', [true, true, true]],
    ['?types=trade.submitted', [true, false, true]],
    ['?types=trade.*', [true, true, true]],
    ['?types=price&types=trade.settled', [false, true, false]],
    ['?types=price,trade.submitted', [true, false, true]],
    ['?subject=AAPL', [true, false, false]],
    ['?types=trade.submitted&subject=AAPL', [true, false, false]],
  ])('with %s receives what was asked for', async (query, expected) => {
    const owner = randomUUID();
    const reader = await open(query, bearer(tokenOf(owner)));
    const control = await open('', bearer(tokenOf(owner)));
    await Promise.all([reader.next('connected'), control.next('connected')]);
    const ids = [
      { type: 'trade.submitted', subject: 'AAPL' },
      { type: 'trade.settled', subject: 'MSFT' },
      { type: 'trade.submitted' },
    ].map((event) => server.publish({ ...event, ownerId: owner }));
    server.publish({ ownerId: randomUUID() });
    const received = ids.filter((_id, index) => expected[index]);
    expect(await control.eventsUntil(ids.at(-1)!)).toEqual(ids);
    expect(await reader.eventsUntil(received.at(-1)!)).toEqual(received);
  });

  it('without types has everything that the token allows', async () => {
    const owner = randomUUID();
    const reader = await open('', bearer(tokenOf(owner, { topics: ['trade.*', 'the.end'] })));
    await reader.next('connected');
    server.publish({ ownerId: owner, type: 'price' });
    const received = ['trade.a', 'the.end'].map((type) => server.publish({ ownerId: owner, type }));
    expect(await reader.eventsUntil(received.at(-1)!)).toEqual(received);
  });

  it.each<[status: number, code: string, query: string, headers: () => Record<string, string>]>([
    [401, 'missing_credentials', '', () => ({})],
    [401, 'token_expired', '', () => bearer(tokenOf('acme', { exp: seconds() - 60 }))],
    [403, 'forbidden', '?types=price', () => bearer(tokenOf('acme', { topics: ['trade.*'] }))],
    [422, 'invalid_input', '?types=a..b', () => bearer(tokenOf('acme'))],
    [422, 'invalid_input', '?types=', () => bearer(tokenOf('acme'))],
    [422, 'invalid_input', `?types=${'a,'.repeat(101)}a`, () => bearer(tokenOf('acme'))],
    [422, 'invalid_input', '?subject=', () => bearer(tokenOf('acme'))],
    [422, 'invalid_input', '?subject=a&subject=b', () => bearer(tokenOf('acme'))],
    [422, 'invalid_input', '?nonsense=1', () => bearer(tokenOf('acme'))],
    [422, 'invalid_input', '?after=evt_1', () => bearer(tokenOf('acme'))],
    [401, 'invalid_token', '?token=', () => bearer(tokenOf('acme'))],
    [401, 'ambiguous_credentials', '?token=a&token=b', () => bearer(tokenOf('acme'))],
    [
      403,
      'origin_not_allowed',
      '',
      () => ({ ...bearer(tokenOf('acme')), origin: 'https://evil.example' }),
    ],
  ])('is refused: %i %s', async (status, code, query, headers) => {
    const response = await fetch(streamUrl(query), { headers: headers() });
    expect(response.headers.get('content-type')).toContain('application/problem+json');
    expect(await response.json()).toMatchObject({ status, code });
  });

  it('takes the token from the address for clients that can set no headers', async () => {
    const reader = await open(`?token=${tokenOf('acme')}`, { authorization: 'Basic of-a-proxy' });
    expect(await reader.next('connected')).toMatchObject({ data: { userId: 'acme' } });
  });

  it('names the scheme of the credential that is missing', async () => {
    const { headers } = await fetch(streamUrl());
    expect(headers.get('www-authenticate')).toBe('Bearer realm="tidings"');
  });

  it('answers HEAD as if there were a stream, and does not start one', async () => {
    const headers = bearer(tokenOf('acme'));
    const response = await fetch(streamUrl(), { method: 'HEAD', headers });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toContain('text/event-stream');
    expect(await response.text()).toBe('');
  });

  it.each([
    ['after=evt_01h455vb4pex5vsknk084sn02q'],
    // As event-source-polyfill comes back: the address that it was given, and the last event id.
    ['after=evt_01h455vb4pex5vsknk084sn02q&lastEventId=evt_01h455vb4pex5vsknk084sn02r'],
    ['lastEventId=nonsense'],
  ])('resumes with ?%s as with a header', async (query) => {
    const reader = await open(`?${query}`);
    expect(await reader.next('resumed')).toMatchObject({ data: { recovered: false } });
  });

  it('takes an empty ?lastEventId for none', async () => {
    const owner = randomUUID();
    const reader = await open('?lastEventId=', bearer(tokenOf(owner)));
    const id = server.publish({ ownerId: owner });
    expect(await reader.eventsUntil(id)).toEqual([id]);
  });

  it.each([['evt_01h455vb4pex5vsknk084sn02q'], ['nonsense']])(
    'says to a client that resumes after %s that it may have missed events',
    async (after) => {
      const owner = randomUUID();
      const reader = await open('', { ...bearer(tokenOf(owner)), 'last-event-id': after });
      expect(await reader.next('resumed')).toMatchObject({
        data: { recovered: false, replayed: 0 },
      });
      const id = server.publish({ ownerId: owner });
      expect(await reader.eventsUntil(id)).toEqual([id]);
    },
  );

  it('ends with its token, and says so', async () => {
    const reader = await open('', bearer(tokenOf('acme', { exp: seconds() + 2 })));
    expect(await reader.next('error')).toMatchObject({
      data: { code: 'token_expired', reconnect: true },
    });
    await reader.closed;
  });

  it('ends when its API key is revoked, and says so', async () => {
    const owner = { ownerId: 'acme', userId: 'acme', roles: new Set(['subscriber'] as const) };
    const { key, entity } = await server.apiKeys.create(owner, { name: 'test' });
    const reader = await open('', { 'x-api-key': key });
    await server.apiKeys.revoke(owner, entity.id);
    expect(await reader.next('error')).toMatchObject({
      data: { code: 'invalid_api_key', reconnect: false },
    });
    await reader.closed;
  });

  it('is kept alive by comments', async () => {
    const app = await startRealtimeApp(database.url, { REALTIME_HEARTBEAT_MS: '100' });
    const reader = await EventStreamReader.open(streamUrl('', app), bearer(tokenOf('acme')));
    await expect.poll(() => reader.comments, { timeout: 10_000 }).toBeGreaterThan(2);
    await app.close();
  });

  it('ends when the server stops, and says when to connect again', async () => {
    const app = await startRealtimeApp(database.url);
    const reader = await EventStreamReader.open(streamUrl('', app), bearer(tokenOf('acme')));
    await reader.next('connected');
    const id = app.publish({});
    await app.close();
    expect(await reader.eventsUntil(id)).toEqual([id]);
    const { data, retry } = await reader.next('draining');
    expect(Number(retry)).toBeGreaterThan(Number(data['reconnectInMs']));
    await reader.closed;
  });
});

describe('an event stream for pages of other hosts', () => {
  const page = 'https://app.example.com';
  let app: RealtimeApp;

  beforeAll(async () => {
    app = await startRealtimeApp(database.url, { REALTIME_ALLOWED_ORIGINS: page });
  });
  afterAll(() => app?.close());

  const ask = (origin: string | undefined, headers: Record<string, string> = {}, method = 'GET') =>
    fetch(streamUrl('', app), { method, headers: { ...headers, ...(origin && { origin }) } });
  const preflight = { 'access-control-request-method': 'GET' };
  const permission = ({ headers }: Response) =>
    Object.fromEntries([...headers].filter(([name]) => name.startsWith('access-control-')));

  it('permits what the browser of an allowed page asks for', async () => {
    const asked = { ...preflight, 'access-control-request-headers': 'authorization,traceparent' };
    const response = await ask(page, asked, 'OPTIONS');
    expect([response.status, await response.text()]).toEqual([204, '']);
    expect(permission(response)).toEqual({
      'access-control-allow-origin': page,
      'access-control-allow-methods': 'GET, HEAD',
      'access-control-allow-headers': 'authorization,traceparent',
      'access-control-expose-headers': 'Retry-After',
      'access-control-max-age': '7200',
    });
  });

  it.each<[what: string, status: number, headers: () => Record<string, string>]>([
    ['a refusal', 401, () => ({})],
    ['the stream', 200, () => bearer(tokenOf('acme'))],
  ])('lets an allowed page read %s', async (_what, status, headers) => {
    const response = await ask(page, headers(), status === 200 ? 'HEAD' : 'GET');
    expect(response.status).toBe(status);
    expect(response.headers.get('access-control-allow-origin')).toBe(page);
    expect(response.headers.get('vary')).toBe('Origin');
  });

  it.each(['https://evil.example', 'null'])('permits nothing to a page of %s', async (origin) => {
    for (const [method, headers] of [
      ['OPTIONS', preflight],
      ['GET', bearer(tokenOf('acme'))],
      ['HEAD', bearer(tokenOf('acme'))],
    ] as const) {
      const response = await ask(origin, headers, method);
      expect([response.status, permission(response)]).toEqual([403, {}]);
    }
  });

  it('answers OPTIONS also for clients that are no page', async () => {
    const response = await ask(undefined, {}, 'OPTIONS');
    expect([response.status, response.headers.get('allow')]).toEqual([204, 'GET, HEAD, OPTIONS']);
    expect(response.headers.get('access-control-allow-origin')).toBeNull();
  });
});

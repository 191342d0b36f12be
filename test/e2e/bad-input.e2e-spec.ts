import { connect } from 'node:net';
import { gzipSync } from 'node:zlib';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Answer, ApiClient } from '../support/api-client.js';
import { expectProblem, read, type WebhookBody } from '../support/bodies.js';
import { pathOf, readDocument, type Route, routesOf } from '../support/documented-routes.js';
import { adminToken, tokenFor } from '../support/tokens.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let app: RunningApp;
let api: ApiClient;
let webhook: WebhookBody;
let routes: Route[];
let before: unknown;

beforeAll(async () => {
  world = await World.create();
  app = await world.start();
  api = app.api.as(tokenFor('ann'));
  webhook = await read(api.webhook('http://127.0.0.1:9099/', ['never.sent']));
  await api.publish({ type: 'a.first' });
  routes = routesOf(await readDocument(app.api));
  before = await stored();
});
afterAll(() => world.stop());
afterEach(async () => expect(await stored()).toEqual(before));

/** Everything that a request could have written by half. */
async function stored(): Promise<unknown> {
  const lists = ['/events', '/webhooks', '/api-keys', '/deliveries'];
  return Promise.all(lists.map((path) => app.api.get(path)));
}

const pathTo = (route: Route): string => pathOf(route, () => webhook.id);

/** Routes that only an admin may call refuse other callers before they read the request. */
const callerOf = ({ isForAdmins }: Route): ApiClient => (isForAdmins ? app.api : api);

/** Bytes as they are, with the headers given and no others. */
async function send(
  path: string,
  body: string | Uint8Array<ArrayBuffer>,
  headers: Record<string, string> = { 'content-type': 'application/json' },
  { method, isForAdmins }: Pick<Route, 'method' | 'isForAdmins'> = {
    method: 'POST',
    isForAdmins: false,
  },
): Promise<Answer> {
  const response = await fetch(app.baseUrl + path.slice(1), {
    method,
    body: typeof body === 'string' ? new TextEncoder().encode(body) : body,
    headers: {
      authorization: `Bearer ${isForAdmins ? adminToken() : tokenFor('ann')}`,
      ...headers,
    },
  });
  const json = JSON.parse(await response.text()) as Answer['body'];
  return { status: response.status, headers: response.headers, body: json };
}

/** The same to every route that takes a body. */
async function sendToAll(
  body: string | Uint8Array<ArrayBuffer>,
  check: (answer: Answer) => void,
  headers?: Record<string, string>,
): Promise<void> {
  const taking = routes.filter(({ example }) => example !== undefined);
  expect(taking.length).toBeGreaterThan(4);
  for (const route of taking) check(await send(pathTo(route), body, headers, route));
}

describe('a body, on every route that takes one,', () => {
  it.each(
    [
      '{',
      '{"type":',
      'nope',
      'undefined',
      '[1,]',
      "{'type':'a'}",
      '{"type":"a"}{"type":"b"}',
      '{"n":NaN}',
      '{"n":01}',
      '{"s":"a\nb"}',
      '{"s":"\\x"}',
      '\u0000',
      '// {}',
      '['.repeat(100_000),
    ].map((body) => [JSON.stringify(body).slice(0, 40), body]),
  )('that is no JSON is malformed: %s', async (_, body = '') => {
    await sendToAll(body, (answer) => expectProblem(answer, 400));
  });

  it.each(['null', '[]', '[{}]', '"text"', '1', 'true', '1e400'])(
    'that is no object is refused as a whole: %s',
    async (body) => {
      await sendToAll(body, (answer) => expectProblem(answer, 422, '(body)'));
    },
  );

  it.each([
    ['an unknown field', '{"nope":1}', 'nope'],
    ['a name of every object', '{"constructor":{"prototype":{}}}', 'constructor'],
    ['a name with an escape', '{"hasOwnProper\\u0074y":1}', 'hasOwnProperty'],
    ['the prototype', '{"__proto__":{"isAdmin":true}}', '__proto__'],
    ['the prototype, inside', '{"data":{"a":[{"__proto__":1}]}}', 'data.a[0].__proto__'],
    ['the prototype, escaped', '{"\\u005f_proto\\u005F_":1}', '__proto__'],
    ['a name that occurs twice', '{"name":"a","name":"b"}', 'name'],
    ['a name that occurs twice, inside', '{"data":[{"a":1,"\\u0061":2}]}', 'data[0].a'],
    ['a decimal beyond a double', '{"data":{"n":100.000000000000000001}}', 'data.n'],
    ['a number that becomes 0', '{"data":[1,1e-400]}', 'data[1]'],
    ['an integer beyond a double', '{"events":[{"ttlMs":9007199254740993}]}', 'events[0].ttlMs'],
    ['NUL in a name', '{"a\\u0000b":1}', 'a\ufffdb'],
    ['a lone surrogate in a name', '{"a\\ud800":1}', 'a\ufffd'],
    ['a long name', `{"${'n'.repeat(100_000)}":1}`, 'n'.repeat(100)],
    ['a deep unknown field', `{"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, 'x'],
  ])('with %s is refused by its name', async (_, body, field) => {
    await sendToAll(body, (answer) => expectProblem(answer, 422, field));
  });

  it.each([
    ['a lone byte', [0xff]],
    ['a lone continuation', [0x80]],
    ['a surrogate', [0xed, 0xa0, 0x80]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['a code point past the last', [0xf4, 0x90, 0x80, 0x80]],
    ['latin 1', [0xe9]],
  ])('whose bytes are not UTF-8 is malformed: %s', async (_, bytes) => {
    const body = Buffer.concat([Buffer.from('{"name":"'), Buffer.from(bytes), Buffer.from('"}')]);
    await sendToAll(new Uint8Array(body), (answer) => expectProblem(answer, 400));
  });

  it.each([
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    'application/xml',
    'application/json5',
    'application/jsonx',
    'application/octet-stream',
    'json',
  ])('of the type %s is not supported', async (type) => {
    await sendToAll('{}', (answer) => expectProblem(answer, 415), { 'content-type': type });
  });

  it('of no type at all is not supported', async () => {
    await sendToAll('{}', (answer) => expectProblem(answer, 415), {});
  });

  it('that is compressed is refused', async () => {
    const headers = { 'content-type': 'application/json', 'content-encoding': 'gzip' };
    await sendToAll(
      gzipSync('{"type":"a.b"}'),
      (answer) => {
        expect(expectProblem(answer, 415).code).toBe('unsupported_encoding');
      },
      headers,
    );
  });

  it.each(['latin1', 'iso-8859-1', 'utf-16', 'UTF-32', 'x', '""'])(
    'in the charset %s is refused',
    async (charset) => {
      const headers = { 'content-type': `application/json; charset=${charset}` };
      await sendToAll('{}', (answer) => expectProblem(answer, 400), headers);
    },
  );

  it('is refused while it arrives once it is larger than 8 MiB', async () => {
    const body = `"${'x'.repeat(8 * 1024 * 1024)}"`;
    await sendToAll(body, (answer) => expectProblem(answer, 413));
  });
});

describe('a query', () => {
  it.each([
    ['limit=0', 'limit'],
    ['limit=201', 'limit'],
    ['limit=-1', 'limit'],
    ['limit=1.5', 'limit'],
    ['limit=1e1', 'limit'],
    ['limit=0x10', 'limit'],
    ['limit=%201', 'limit'],
    ['limit=abc', 'limit'],
    ['limit=', 'limit'],
    ['limit=%00', 'limit'],
    ['limit=99999999999999999999', 'limit'],
    ['limit=1&limit=2', 'limit'],
    ['limit[]=1', 'limit[]'],
    ['cursor=', 'cursor'],
    ['cursor=!!', 'cursor'],
    ['cursor=AA', 'cursor'],
    ['cursor=a&cursor=b', 'cursor'],
    [`cursor=${'A'.repeat(600)}`, 'cursor'],
    ['nope=1', 'nope'],
    ['__proto__=1', '__proto__'],
    ['constructor=1', 'constructor'],
  ])('of every list is refused by the name of its parameter: %s', async (query, field) => {
    const lists = routes.filter(({ operation }) =>
      operation.parameters?.some(({ name }) => name === 'limit'),
    );
    expect(lists.length).toBeGreaterThan(4);
    for (const list of lists) {
      expectProblem(await callerOf(list).request('GET', `${pathTo(list)}?${query}`), 422, field);
    }
  });

  it.each([
    ['/events', 'type=a..b', 'type'],
    ['/events', 'type=a.*.b', 'type'],
    ['/events', 'type=%00', 'type'],
    ['/events', `type=${'a'.repeat(129)}`, 'type'],
    ['/events', 'type=a&type=b', 'type'],
    ['/events', 'subject=%00', 'subject'],
    ['/events', `subject=${'s'.repeat(257)}`, 'subject'],
    ['/events', 'since=yesterday', 'since'],
    ['/events', 'since=2026-02-30T00:00:00Z', 'since'],
    ['/events', 'since=1769860800000', 'since'],
    ['/events', 'until=0000-01-01T00:00:00%2B10:00', 'until'],
    ['/deliveries', 'webhookId=%00', 'webhookId'],
    ['/deliveries', "webhookId=wh_'%20OR%20true--", 'webhookId'],
    ['/deliveries', 'webhookId=evt_01h455vb4pex5vsknk084sn02q', 'webhookId'],
    ['/deliveries', 'status=done', 'status'],
    ['/deliveries', 'status=success&status=retrying', 'status'],
    ['/deliveries', 'type=*.a', 'type'],
    ['/dead-letters', 'webhookId=%00', 'webhookId'],
    ['/dead-letters', 'reason=%00', 'reason'],
    ['/dead-letters', 'reason=a%20b', 'reason'],
    ['/dead-letters', 'status=success', 'status'],
    ['/dead-letters', 'ownerId=%00', 'ownerId'],
    ['/operations', 'status=done', 'status'],
    ['/operations', 'ownerId=another-owner', 'ownerId'],
    ['/webhooks', 'active=yes', 'active'],
    ['/webhooks', 'active=', 'active'],
  ])('%s?%s is refused by name', async (path, query, field) => {
    expectProblem(await api.request('GET', `${path}?${query}`), 422, field);
  });
});

describe('an id in a path, on every route that has one,', () => {
  it.each([
    'x',
    '%00',
    'wh_01h455vb4pex5vsknk084sn02%00',
    'wh_zzzzzzzzzzzzzzzzzzzzzzzzzz',
    "'%20OR%20'1'='1",
    '1;DROP%20TABLE%20webhooks',
    '%F0%9F%92%A9',
    '%0d%0aset-cookie:%20a=b',
    '%2f',
    '..%2f..%2fhealth',
    '__proto__',
    'null',
  ])('that nothing has is not found: %s', async (id) => {
    for (const route of routes.filter(({ ids }) => ids.length > 0)) {
      const answer = await callerOf(route).request(
        route.method,
        pathOf(route, () => id),
        route.example,
      );
      expect(expectProblem(answer, 404).code).toMatch(/_not_found$/);
    }
  });

  it.each([
    ['%', 400],
    ['%zz', 400],
    ['%ff', 400],
    ['%ED%A0%80', 400],
    ['a'.repeat(5_000), 414],
  ])('that cannot be one is refused before anything looks at it: %#', async (id, status) => {
    for (const route of routes.filter(({ ids }) => ids.length > 0)) {
      const answer = await callerOf(route).request(
        route.method,
        pathOf(route, () => id),
        route.example,
      );
      expectProblem(answer, status);
    }
  });
});

describe('a request', () => {
  it.each([
    ['GET', '//'],
    ['GET', '//nothing'],
    ['GET', '/'],
    ['GET', '/nothing'],
    ['GET', '/events/a/b'],
    ['POST', '/nothing'],
    ['PUT', '/webhooks'],
    ['DELETE', '/webhooks'],
    ['DELETE', '/events'],
    ['PATCH', '/events'],
    ['OPTIONS', '/events'],
    ['PROPFIND', '/events'],
  ])('to no route is refused: %s %s', async (method, path) => {
    const answer = await api.request(method, path);
    expect(expectProblem(answer, 404).code).toBe('route_not_found');
  });

  it.each([
    ['empty', ''],
    ['only space', '  '],
    ['too long', 'k'.repeat(256)],
    ['not ASCII', 'schl\u00fcssel'],
    ['with a tab', 'a\tb'],
  ])('with an Idempotency-Key that is %s is refused', async (_, key) => {
    const headers = { 'idempotency-key': key };
    for (const [path, body] of [
      ['/events', { type: 'a', data: 1 }],
      ['/events/batch', { events: [{ type: 'a', data: 1 }] }],
    ] as const) {
      expectProblem(await api.request('POST', path, body, headers), 422, 'Idempotency-Key');
    }
  });

  it('with two Idempotency-Keys is refused', async () => {
    const response = await sendRaw(
      'POST /api/v1/events HTTP/1.1\r\nhost: x\r\nconnection: close\r\n' +
        `authorization: Bearer ${adminToken()}\r\ncontent-type: application/json\r\n` +
        'idempotency-key: a\r\nidempotency-key: b\r\ncontent-length: 21\r\n\r\n' +
        '{"type":"a","data":1}',
    );
    expect(response).toMatch(/^HTTP\/1\.1 422 /);
    expect(response).toContain('"field":"Idempotency-Key"');
  });

  it.each([
    ['that is no HTTP', 'GARBAGE\r\n\r\n', 400],
    ['of an unknown method', 'FOO /api/v1/events HTTP/1.1\r\nhost: x\r\n\r\n', 400],
    ['with NUL in its path', 'GET /api/v1/ev\0nts HTTP/1.1\r\nhost: x\r\n\r\n', 400],
    ['with headers of 20 KB', `GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`, 431],
    [
      'of two lengths',
      'POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n',
      400,
    ],
  ])('%s is answered with a problem', async (_, text, status) => {
    const response = await sendRaw(text);
    const [head = '', body = ''] = response.split('\r\n\r\n');
    expect(head).toMatch(new RegExp(`^HTTP/1\\.1 ${status} [^]*application/problem\\+json`, 'i'));
    expect(JSON.parse(body)).toMatchObject({ status, code: expect.any(String) });
  });
});

/** What the server answers on a connection of its own until it closes that. */
async function sendRaw(text: string): Promise<string> {
  const { port, hostname } = new URL(app.baseUrl);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname, () => socket.write(text));
    let answer = '';
    socket.on('data', (chunk) => (answer += chunk.toString()));
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
}

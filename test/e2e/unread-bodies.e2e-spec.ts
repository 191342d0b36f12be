import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { PRODUCTION_TIMINGS } from '../../src/config/timings.js';
import { pathOf, readDocument, type Route, routesOf } from '../support/documented-routes.js';
import { eventually } from '../support/eventually.js';
import { RawConnection } from '../support/raw-connection.js';
import { adminToken, tokenFor } from '../support/tokens.js';
import { forNewOwner, type RunningApp, World } from '../support/world.js';

const MIB = 1024 * 1024;

let world: World;
let app: RunningApp;
let routes: Route[];

beforeAll(async () => {
  world = await World.create();
  // Megabytes of batches keep this process and the disk busy for longer than tests wait for a statement.
  const { silentStatementMs } = PRODUCTION_TIMINGS;
  app = await world.start({}, { timings: { silentStatementMs } });
  routes = routesOf(await readDocument(app.api));
});
afterAll(() => world?.stop());

function open(): RawConnection {
  const connection = RawConnection.open(app.baseUrl);
  onTestFinished(() => connection.close());
  return connection;
}

const head = (request: string, ...lines: string[]): string =>
  [`${request} HTTP/1.1`, 'host: x', ...lines, '', ''].join('\r\n');

const bearer = (token: string): string => `authorization: Bearer ${token}`;

const JSON_TYPE = 'content-type: application/json';
/** Ways to announce a body that does not come. */
const ANNOUNCED = [
  ['with a length', `content-length: ${8 * MIB}`],
  ['in chunks', 'transfer-encoding: chunked'],
  ['after 100 Continue', `expect: 100-continue\r\ncontent-length: ${8 * MIB}`],
] as const;

describe.each(ANNOUNCED)('a body that is announced %s', (_, framing) => {
  /** Sends a head only: an answer shows that nothing waits for the body. */
  async function answered(request: string, ...lines: string[]): Promise<number> {
    const connection = open();
    await connection.send(head(request, JSON_TYPE, framing, ...lines));
    const text = await connection.untilClosed();
    expect(connection.statuses, request).toHaveLength(1);
    expect(text.toLowerCase()).toContain('\r\nconnection: close\r\n');
    expect(text).toContain('application/problem+json');
    return connection.statuses[0]!;
  }

  it.each(['POST /nowhere', 'PUT /api/v1/events', 'POST /api/v1/nowhere', 'OPTIONS /', 'POST //'])(
    'is not read where there is no route: %s',
    async (request) => {
      expect(await answered(request)).toBe(404);
      expect(await answered(request, bearer(adminToken()))).toBe(404);
    },
  );

  it('is not read without a credential, on any route', async () => {
    for (const route of routes.filter(({ method, isPublic }) => method !== 'GET' && !isPublic)) {
      const request = `${route.method} ${pathOf(route, (prefix) => `${prefix}_x`).slice(1)}`;
      expect(await answered(request), request).toBe(401);
      expect(await answered(request, bearer('a.b.c')), request).toBe(401);
      expect(await answered(request, 'x-api-key: tdk_nothing'), request).toBe(401);
    }
  });

  it('is not read from a caller who may not send it', async () => {
    const subscriber = bearer(tokenFor('ann', { roles: ['subscriber'] }));
    expect(await answered('POST /api/v1/events', subscriber)).toBe(403);
    expect(await answered('POST /api/v1/admin/broadcast', subscriber)).toBe(403);
  });

  it('is not read in another form', async () => {
    const caller = bearer(adminToken());
    expect(await answered('POST /api/v1/events', caller, 'content-encoding: gzip')).toBe(415);
    const connection = open();
    await connection.send(head('POST /api/v1/events', caller, framing, 'content-type: text/plain'));
    await connection.untilClosed();
    expect(connection.statuses).toEqual([415]);
  });
});

describe('a head of very many lines', () => {
  /** Within 16 KiB; Node drops lines behind the 2,000th, unless it is asked not to. */
  const LINES = Array.from({ length: 2_100 }, () => 'a:');

  it('loses none of them', async () => {
    const body = JSON.stringify({ type: 'many.lines', data: 1 });
    const connection = open();
    await connection.send(
      head(
        'POST /api/v1/events',
        ...LINES,
        JSON_TYPE,
        bearer(adminToken()),
        `content-length: ${body.length}`,
      ) + body,
    );
    await eventually(() => expect(connection.statuses).toEqual([202]));
    await connection.send(
      head('GET /api/v1/events', bearer(adminToken()), ...LINES, 'x-api-key: tdk_x'),
    );
    await eventually(() => expect(connection.statuses).toEqual([202, 401]));
  });
});

describe('a body', () => {
  it('that is announced as larger than its route takes is refused unread', async () => {
    for (const route of routes.filter(({ example }) => example !== undefined)) {
      const path = pathOf(route, (prefix) => `${prefix}_x`).slice(1);
      const limit = path.endsWith('/batch') ? 8 * MIB : MIB / (path.endsWith('/events') ? 1 : 4);
      const connection = open();
      await connection.send(
        head(
          `${route.method} ${path}`,
          JSON_TYPE,
          bearer(adminToken()),
          `content-length: ${limit + 1}`,
        ),
      );
      const text = await connection.untilClosed();
      expect(connection.statuses, route.name).toEqual([413]);
      expect(text).toMatch(/larger than \d+ [KM]iB/);
    }
  });

  it('that grows larger than its route takes is refused while it comes', async () => {
    const connection = open();
    await connection.send(
      head('POST /api/v1/webhooks', JSON_TYPE, bearer(adminToken()), 'transfer-encoding: chunked'),
    );
    const chunk = `8000\r\n${' '.repeat(0x8000)}\r\n`;
    for (let sent = 0; sent < 9; sent++) await connection.send(chunk);
    await connection.untilClosed();
    expect(connection.statuses).toEqual([413]);
  });

  it('is asked for with 100 Continue once it is wanted', async () => {
    const body = JSON.stringify({ type: 'a.b', data: 1 });
    const connection = open();
    await connection.send(
      head(
        'POST /api/v1/events',
        JSON_TYPE,
        bearer(adminToken()),
        'expect: 100-continue',
        `content-length: ${body.length}`,
      ),
    );
    await eventually(() => expect(connection.statuses).toEqual([100]));
    await connection.send(body);
    await eventually(() => expect(connection.statuses).toEqual([100, 202]));
    await connection.send(head('GET /health/live'));
    await eventually(() => expect(connection.statuses).toEqual([100, 202, 200]));
  });

  it('of a refused request is no request itself', async () => {
    const inner = head('GET /health/live');
    const connection = open();
    await connection.send(
      head('POST /nowhere', `content-length: ${inner.length}`) + inner + inner,
      inner,
      inner,
    );
    await connection.untilClosed();
    expect(connection.statuses[0]).toBe(404);
    expect(connection.statuses.length).toBeLessThan(3);
  });

  it('that a client sends to the end in spite of a refusal costs it no answer', async () => {
    const body = '["\\u0061"'.padEnd(8 * MIB - 1, ',{}') + ']';
    for (const [path, token, status] of [
      ['/nowhere', undefined, 404],
      ['/api/v1/events/batch', undefined, 401],
      ['/api/v1/events', adminToken(), 413],
    ] as const) {
      const response = await fetch(app.baseUrl + path, {
        method: 'POST',
        body,
        headers: {
          'content-type': 'application/json',
          ...(token && { authorization: `Bearer ${token}` }),
        },
      });
      expect(response.status, path).toBe(status);
    }
  });

  it('of a request that has none is ignored', async () => {
    const connection = open();
    const get = head('GET /api/v1/events', bearer(adminToken()), JSON_TYPE, 'content-length: 3');
    await connection.send(`${get}{}x`, head('GET /health/live'));
    await eventually(() => expect(connection.statuses).toEqual([200, 200]));
    const large = open();
    await large.send(
      head('GET /api/v1/events', bearer(adminToken()), `content-length: ${64 * MIB}`),
    );
    await large.untilClosed();
    expect(large.statuses).toEqual([200]);
  });

  it('that does not come to its end changes nothing, and is no failure of ours', async () => {
    const connection = open();
    await connection.send(
      head('POST /api/v1/events', JSON_TYPE, bearer(adminToken()), 'content-length: 40'),
      '{"type":"cut.short","data":1}',
    );
    connection.close();
    await app.api.publish({ type: 'after.it' });
    expect((await app.api.get('/events?type=cut.short')).data).toEqual([]);
  });
});

describe('a large body whose client has gone', () => {
  const announcing = (token: string) =>
    head(
      'POST /api/v1/events/batch',
      JSON_TYPE,
      bearer(token),
      'expect: 100-continue',
      `content-length: ${8 * MIB}`,
    );

  it('keeps no memory from its owner, also if it has waited for it', async () => {
    const owner = `owner-${randomUUID()}`;
    const { api } = forNewOwner(app, owner);
    const token = tokenFor(owner);
    for (let round = 0; round < 2; round++) {
      const reading = [open(), open()];
      for (const connection of reading) {
        await connection.send(announcing(token));
        await eventually(() => expect(connection.statuses).toEqual([100]));
      }
      const waiting = [open(), open()];
      for (const connection of waiting) await connection.send(announcing(token));
      await api.publish({ type: 'after.them' });
      for (const connection of [...waiting, ...reading]) connection.close();
    }
    const events = Array.from({ length: 40 }, () => ({ type: 'a.b', data: 'x'.repeat(200_000) }));
    await eventually(async () => {
      const { status } = await api.request('POST', '/events/batch', JSON.stringify({ events }));
      expect(status).toBe(202);
    });
  });
});

/** Half a million members, each with a name of its own. */
const manyNames = (value: string): string =>
  Array.from({ length: 500_000 }, (_, index) => `,"b${index.toString(36)}"${value}`).join('');

describe('a batch', () => {
  const caller = () => forNewOwner(app).api;

  it('of 8 MiB is accepted, and one with an event that is too large is not', async () => {
    const data = 'x'.repeat(8_000);
    const events = Array.from({ length: 1_000 }, () => ({ type: 'large.batch', data }));
    const { accepted } = await caller().post('/events/batch', { events }, 202);
    expect(accepted).toBe(1_000);
    events[7]!.data = 'x'.repeat(2 * MIB);
    const { errors } = await caller().post('/events/batch', { events: events.slice(0, 9) }, 413);
    expect(errors).toEqual([{ field: 'events[7]', message: 'is larger than 1 MiB' }]);
  });

  it.each([
    ['a million empty events', `{"events":[{}${',{}'.repeat(1_000_000)}]}`, 422, 'events'],
    ['no object', `[{}${',{}'.repeat(1_000_000)}]`, 413, '(body)'],
    ['an unknown list', `{"a":[1${',1'.repeat(1_000_000)}]}`, 422, 'a'],
    ['a million names', `{"a":1${',"b":1'.repeat(1_000_000)}}`, 422, undefined],
    ['half a million different names', `{"a":1${manyNames(':[]')}}`, 422, '(body)'],
    ['a bad event', `{"events":[${'{"type":"a.b","data":"0123456789"},'.repeat(999)}7]}`, 422],
    ['white space', `{"events":[${' '.repeat(4 * MIB)}]}`, 422, 'events'],
    ['no end', `{"events":[${'{"type":"a.b","data":"0123456789"},'.repeat(999)}`, 400],
    ['a comma too many', `{"events":[${'{"type":"a.b","data":"0123456789"},'.repeat(999)}]}`, 400],
    ['more behind it', `{"events":[]}${' '.repeat(MIB)}{}`, 400],
    ['an open string', `{"events":["${'x'.repeat(300_000)}`, 400],
  ])('of megabytes with %s is refused', async (_, body, status, field?) => {
    const answer = await caller().request('POST', '/events/batch', body);
    expect(answer.status, JSON.stringify(answer.body)).toBe(status);
    if (field !== undefined) expect(answer.body.errors[0]?.field).toBe(field);
  });

  it('stops no other caller, however many there are and whatever is in them', async () => {
    const [hostile, other] = [caller(), caller()];
    const event = `{"type":"a.b","data":["\\u0061"${',{}'.repeat(2_600)}]}`;
    const body = `{"events":[${`${event},`.repeat(999)}${event}]}`;
    expect(body.length).toBeGreaterThan(7 * MIB);
    const state = { isOver: false };
    const batches = Promise.all(
      Array.from({ length: 4 }, () => hostile.request('POST', '/events/batch', body)),
    ).finally(() => (state.isOver = true));
    let published = 0;
    for (; !state.isOver; published++) await other.publish({ type: 'c.d' });
    // Two of them fit into the memory of one owner; the others wait, on a slow machine too long.
    for (const { status } of await batches) expect([202, 429]).toContain(status);
    expect(published).toBeGreaterThan(20);
  });
});

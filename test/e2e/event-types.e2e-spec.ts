import { Injectable, Module } from '@nestjs/common';
import { InjectDataSource } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { InvalidInputError } from '../../src/shared/app-error.js';
import { EventsModule } from '../../src/events/events.module.js';
import { EventsService } from '../../src/events/events.service.js';
import { SYSTEM_EVENT_TYPES } from '../../src/shared/event-pattern.js';
import type { ApiClient } from '../support/api-client.js';
import { everyPage, expectProblem } from '../support/bodies.js';
import { eventually } from '../support/eventually.js';
import { SocketClient } from '../support/socket-client.js';
import { tokenFor } from '../support/tokens.js';
import type { WebhookReceiver } from '../support/webhook-receiver.js';
import { type RunningApp, World } from '../support/world.js';

/** Another module of the process, which publishes from inside. */
@Injectable()
class Inside {
  constructor(
    readonly events: EventsService,
    @InjectDataSource() readonly dataSource: DataSource,
  ) {}
}

@Module({ imports: [EventsModule], providers: [Inside] })
class InsideModule {}

interface TypeBody {
  name: string;
  builtIn: boolean;
}

let world: World;
let product: RunningApp;
let other: RunningApp;
let inside: Inside;
let admin: ApiClient;
let ann: ApiClient;
let receiver: WebhookReceiver;
let count = 0;
let name: string;

beforeAll(async () => {
  world = await World.create();
  product = await world.start({}, { modules: [InsideModule] });
  other = await world.start();
  inside = product.app.get(Inside);
  admin = product.api;
  ann = admin.as(tokenFor('ann'));
  receiver = await world.receiver();
});
afterAll(() => world.stop());

beforeEach(() => {
  name = `types.n${count++}`;
});

const put = (settings: object, status = 201) => setType(name, settings, status);

async function setType(type: string, settings: object, status = 201): Promise<void> {
  const answer = await admin.request('PUT', `/event-types/${type}`, settings);
  expect(answer.status, JSON.stringify(answer.body)).toBe(status);
}

const SCHEMA = {
  type: 'object',
  required: ['tradeId'],
  properties: {
    zebra: { type: 'string' },
    tradeId: { type: 'string', pattern: '^T-\\d+$' },
    legs: { type: 'array', items: { $ref: '#/$defs/leg' } },
  },
  $defs: { leg: { type: 'object', properties: { quantity: { type: 'integer', minimum: 1 } } } },
};

describe('the catalogue', () => {
  it('answers with what was put into it, in the order in which it was given', async () => {
    const given = { name, description: 'A trade.', schema: SCHEMA, priority: 'high' };
    const created = await admin.post('/event-types', given, 201);
    expect(created).toEqual({
      ...given,
      transports: ['webhook', 'socket'],
      durable: true,
      coalesce: null,
      channel: null,
      builtIn: false,
      createdAt: expect.stringMatching(/Z$/) as unknown,
      updatedAt: expect.stringMatching(/Z$/) as unknown,
    });
    expect(JSON.stringify(created['schema'])).toBe(JSON.stringify(SCHEMA));
    expect(await ann.get(`/event-types/${name}`)).toEqual(created);
    expect(
      expectProblem(await admin.request('POST', '/event-types', given), 409, 'name').code,
    ).toBe('event_type_exists');
    await put({ durable: false, coalesce: { intervalMs: 50 } }, 200);
    expect(await ann.get(`/event-types/${name}`)).toMatchObject({
      description: null,
      schema: null,
      priority: 'normal',
      transports: ['socket'],
      durable: false,
      coalesce: { intervalMs: 50 },
      createdAt: created['createdAt'],
    });
    await admin.delete(`/event-types/${name}`);
    expectProblem(await ann.request('GET', `/event-types/${name}`), 404);
    expectProblem(await admin.request('DELETE', `/event-types/${name}`), 404);
  });

  it('is listed by name, page by page, with what the system publishes itself', async () => {
    for (const suffix of ['a', 'b', 'c']) await setType(`${name}.${suffix}`, {});
    const listed = await everyPage<TypeBody>((query) => ann.get(`/event-types?${query}`), 2);
    const names = listed.map((type) => type.name);
    expect(names).toEqual([...new Set(names)].sort());
    expect(names).toEqual(expect.arrayContaining([`${name}.a`, `${name}.b`, `${name}.c`]));
    expect(listed.filter(({ builtIn }) => builtIn).map((type) => type.name)).toEqual(
      [...SYSTEM_EVENT_TYPES].sort(),
    );
  });

  it('is written by an admin only', async () => {
    for (const [method, path, body] of [
      ['POST', '/event-types', { name }],
      ['PUT', `/event-types/${name}`, {}],
      ['DELETE', `/event-types/${name}`, undefined],
    ] as const) {
      const problem = expectProblem(await ann.request(method, path, body), 403);
      expect(problem.code).toBe('role_required');
    }
    expectProblem(await ann.request('GET', `/event-types/${name}`), 404);
  });

  it('leaves the types of the system as they are', async () => {
    const path = '/event-types/webhook.disabled';
    expect(await ann.get(path)).toMatchObject({ builtIn: true, durable: true, createdAt: null });
    for (const [method, to, body] of [
      ['POST', '/event-types', { name: 'webhook.disabled' }],
      ['PUT', path, {}],
      ['DELETE', path, undefined],
    ] as const) {
      const problem = expectProblem(await admin.request(method, to, body), 409, 'name');
      expect(problem.code).toBe('event_type_built_in');
    }
  });

  it.each([
    [{}, 'name'],
    [{ name: 'a.*' }, 'name'],
    [{ name: 'a'.repeat(129) }, 'name'],
    [{ name: 'a', nope: 1 }, 'nope'],
    [{ name: 'a', description: 'a\u0000' }, 'description'],
    [{ name: 'a', priority: 'urgent' }, 'priority'],
    [{ name: 'a', transports: [] }, 'transports'],
    [{ name: 'a', transports: ['mail'] }, 'transports[0]'],
    [{ name: 'a', transports: 'socket' }, 'transports'],
    [{ name: 'a', durable: 'no' }, 'durable'],
    [{ name: 'a', durable: false, transports: ['webhook', 'socket'] }, 'transports'],
    [{ name: 'a', coalesce: { intervalMs: 100 } }, 'coalesce'],
    [{ name: 'a', durable: false, coalesce: {} }, 'coalesce.intervalMs'],
    [{ name: 'a', durable: false, coalesce: { intervalMs: 1e9 } }, 'coalesce.intervalMs'],
    [{ name: 'a', schema: true }, 'schema'],
    [{ name: 'a', schema: [] }, 'schema'],
    [{ name: 'a', schema: { type: 'strng' } }, 'schema.type'],
    [{ name: 'a', schema: { properties: { x: { pattern: '(' } } } }, 'schema.properties.x.pattern'],
    [{ name: 'a', schema: { items: { pattern: '(a{1000}){1000}' } } }, 'schema.items.pattern'],
    [{ name: 'a', schema: { items: { $ref: 'http://127.0.0.1/' } } }, 'schema.items.$ref'],
    [{ name: 'a', schema: { allOf: [{ $ref: '#/$defs/none' }] } }, 'schema.allOf[0].$ref'],
    [{ name: 'a', schema: { const: '\ud800' } }, 'schema.const'],
    [{ name: 'a', schema: { title: 'x'.repeat(70_000) } }, 'schema'],
  ])('refuses what is no type and names the place: %#', async (body, field) => {
    expectProblem(await admin.request('POST', '/event-types', body), 422, field);
    const { name: given, ...settings } = body as Record<string, unknown>;
    if (given === 'a') {
      expectProblem(await admin.request('PUT', '/event-types/a', settings), 422, field);
    }
    expectProblem(await admin.request('GET', '/event-types/a'), 404);
  });

  it('takes the longest name that a type can have', async () => {
    const longest = `long.${'x'.repeat(123)}`;
    await setType(longest, {});
    expect(await ann.get(`/event-types/${longest}`)).toMatchObject({ name: longest });
    await admin.delete(`/event-types/${longest}`);
  });

  it('has no type of a name that cannot be one', async () => {
    for (const bad of ['a..b', '*', '%00', 'a%20b', 'x'.repeat(200)]) {
      expectProblem(await admin.request('GET', `/event-types/${bad}`), 404);
      expectProblem(await admin.request('DELETE', `/event-types/${bad}`), 404);
      expectProblem(await admin.request('PUT', `/event-types/${bad}`, {}), 422, 'name');
    }
  });
});

describe('a schema', () => {
  beforeEach(() => put({ schema: SCHEMA }));

  const good = () => ({ type: name, data: { tradeId: 'T-1', legs: [{ quantity: 2 }] } });

  it('lets through what fits', async () => {
    const { id } = await ann.publish(good());
    expect(await ann.get(`/events/${id}`)).toMatchObject({ data: good().data });
  });

  it.each([
    [{}, 'data.tradeId'],
    ['T-1', 'data'],
    [{ tradeId: 'X' }, 'data.tradeId'],
    [{ tradeId: 'T-1', legs: [{}, { quantity: 0 }] }, 'data.legs[1].quantity'],
  ])('refuses %j and names %s, in a batch too', async (data, field) => {
    const before = await ann.get(`/events?type=${name}`);
    expectProblem(await ann.request('POST', '/events', { type: name, data }), 422, field);
    const events = [good(), { type: 'others', data: 1 }, good(), { type: name, data }];
    expectProblem(
      await ann.request('POST', '/events/batch', { events }),
      422,
      `events[3].${field}`,
    );
    expect(await ann.get(`/events?type=${name}`)).toEqual(before);
  });

  it('holds for other modules of the process, with and without their transaction', async () => {
    const refused = { type: name, data: {} };
    await expect(inside.events.publish(refused)).rejects.toThrow(/data\.tradeId: is required/);
    await expect(inside.events.publishBatch([good(), refused])).rejects.toThrow(InvalidInputError);
    await inside.dataSource.transaction(async (manager) => {
      await expect(inside.events.publish(refused, { manager })).rejects.toThrow(InvalidInputError);
    });
    expect((await inside.events.publish(good())).id).toMatch(/^evt_/);
  });

  it('is known to the other processes within a moment, and so is its end', async () => {
    const refused = { type: name, data: {} };
    const publish = () => other.api.as(tokenFor('ann')).request('POST', '/events', refused);
    await eventually(async () => expectProblem(await publish(), 422, 'data.tradeId'));
    await put({}, 200);
    await eventually(async () => expect((await publish()).status).toBe(202));
    await put({ schema: { type: 'number' } }, 200);
    await eventually(async () => expectProblem(await publish(), 422, 'data'));
    await admin.delete(`/event-types/${name}`);
    expect((await ann.request('POST', '/events', refused)).status).toBe(202);
    await eventually(async () => expect((await publish()).status).toBe(202));
  });

  it('that would take for ever is given up', async () => {
    await put({ schema: { type: 'string', pattern: '^(a+)+$' } }, 200);
    const data = `${'a'.repeat(50_000)}!`;
    expectProblem(await ann.request('POST', '/events', { type: name, data }), 422, 'data');
    const branch = { allOf: [{ properties: { a: { $ref: '#' } } }, { required: ['b'] }] };
    await put({ schema: { anyOf: [branch, branch] } }, 200);
    const nested = JSON.parse('{"a":'.repeat(60) + '1' + '}'.repeat(60)) as unknown;
    const answer = await ann.request('POST', '/events', { type: name, data: nested });
    expect(expectProblem(answer, 422, 'data').errors![0]!.message).toMatch(/too much work/);
  });
});

describe('a type decides', () => {
  it('the priority of events that name none', async () => {
    await put({ priority: 'high' });
    const { ids } = await ann.post(
      '/events/batch',
      {
        events: [
          { type: name, data: 1 },
          { type: name, data: 1, priority: 'low' },
        ],
      },
      202,
    );
    const priorities = await Promise.all(ids.map((id) => ann.get(`/events/${id}`)));
    expect(priorities.map(({ priority }) => priority)).toEqual(['high', 'low']);
  });

  it('what its events go to', async () => {
    const socket = await SocketClient.connect(product.baseUrl, {
      auth: { token: tokenFor('ann') },
    });
    await socket.subscribe(`${name}.*`);
    await ann.webhook(receiver.url(), [`${name}.*`]);
    await setType(`${name}.hook`, { transports: ['webhook'] });
    await setType(`${name}.sock`, { transports: ['socket'] });
    const hook = await ann.publish({ type: `${name}.hook` });
    const sock = await ann.publish({ type: `${name}.sock` });
    const both = await ann.publish({ type: `${name}.both` });

    expect(await socket.eventsUntil(both.id)).toEqual([sock.id, both.id]);
    await eventually(() =>
      expect(new Set(receiver.requests.map(({ headers }) => headers['webhook-id']))).toEqual(
        new Set([hook.id, both.id]),
      ),
    );
    const deliveries = await ann.get(`/events/${sock.id}/deliveries`);
    expect(deliveries.data).toEqual([]);
    expect(await ann.get(`/events/${sock.id}`)).toMatchObject({ type: `${name}.sock` });
    socket.close();
  });
});

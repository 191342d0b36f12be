import fc from 'fast-check';
import { DataSource } from 'typeorm';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { canSubscribe, type Principal } from '../../src/auth/principal.js';
import { PostgresClient } from '../../src/database/postgres.client.js';
import { deliveryId } from '../../src/delivery/delivery-id.js';
import { LogReaderStore } from '../../src/realtime/resume/log-reader.store.js';
import { roomsOfEvent, roomsOfTopic } from '../../src/realtime/fanout/rooms.js';
import {
  covers,
  matches,
  matchesAnySql,
  matchesSql,
  patternsOf,
  SYSTEM_EVENT_TYPES,
} from '../../src/shared/event-pattern.js';
import { newId } from '../../src/shared/ids.js';
import { SubscriptionIndex } from '../../src/webhooks/subscription-index.js';
import type { Json } from '../support/api-client.js';
import { tokenFor } from '../support/tokens.js';
import { type RunningApp, World } from '../support/world.js';

/** Which of {@link TYPES} each pattern selects. */
const SELECTED: Record<string, string[]> = {
  '*': ['price', 'trade', 'trade.done', 'trade.done.late', 'trades.done', 'webhook.test'],
  trade: ['trade'],
  'trade.*': ['trade.done', 'trade.done.late'],
  'trade.done': ['trade.done'],
  'trade.done.*': ['trade.done.late'],
  'price.*': [],
  'other.*': [],
  'client-connected': ['client-connected'],
  'client-connected.*': [],
  'webhook.disabled': ['webhook.disabled'],
  'webhook.*': ['webhook.disabled', 'webhook.test'],
  'delivery.*': ['delivery.dead_lettered'],
};
const TYPES = [...new Set(Object.values(SELECTED).flat())].sort();
const PATTERNS = Object.keys(SELECTED);

const OWNER = 'ann';
const SINCE = '2020-01-01T00:00:00.000Z';

let world: World;
let app: RunningApp;
let postgres: PostgresClient;
let database: DataSource;
let log: LogReaderStore;
/** An event that was published before all others. */
let first: string;
const eventIds = new Map<string, string>();
/** Has no deliveries yet, and selects every type by its name. */
let empty: Json;
/** Per pattern one that has only this pattern. */
const subscribed = new Map<string, Json>();

beforeAll(async () => {
  world = await World.create();
  // Without workers, so that whatever is pending stays so.
  app = await world.start({ ROLES: 'api' });
  postgres = app.app.get(PostgresClient, { strict: false });
  database = app.app.get(DataSource, { strict: false });
  log = new LogReaderStore(postgres);
  first = await store('first');
  for (const type of TYPES) eventIds.set(type, await store(type));
  const hook = (events: string[]) => app.api.webhook('http://127.0.0.1:9999/', events);
  empty = await hook(TYPES);
  for (const pattern of PATTERNS) subscribed.set(pattern, await hook([pattern]));
  await storeDeliveries((await hook(['other'])).id, (await hook(['other'])).id);
});
afterAll(() => world.stop());

/** Writes an event as the log holds it; system events cannot be published from outside. */
async function store(type: string): Promise<string> {
  const id = newId('evt');
  await database.query(
    `INSERT INTO events (id, owner_id, type, body, priority, tx, tx_snapshot, published_by)
     VALUES ($1, $2, $3, $4, 1, pg_current_xact_id()::text::bigint, pg_current_snapshot()::text, 1)`,
    [id, OWNER, type, JSON.stringify({ id, type, timestamp: SINCE, data: {} })],
  );
  return id;
}

/** Of every event one dead delivery, and one that no worker has attempted yet. */
async function storeDeliveries(deadTo: string, pendingTo: string): Promise<void> {
  for (const [type, id] of eventIds) {
    await database.query(
      `INSERT INTO deliveries (id, event_id, webhook_id, event_type, status, attempts, completed_at)
       VALUES ($1, $2, $3, $4, 'dead_letter', 1, now())`,
      [deliveryId(id, deadTo), id, deadTo, type],
    );
    await database.query(
      `INSERT INTO event_outbox (event_id, webhook_ids, due_at)
       VALUES ($1, $2, now() + interval '1 hour')`,
      [id, [pendingTo]],
    );
  }
}

const typeOf = (eventId: string): string[] =>
  [...eventIds].filter(([, id]) => id === eventId).map(([type]) => type);

/** The types among ours of which the condition holds. */
const typesWith = (isSelected: (type: string) => boolean): Promise<string[]> =>
  Promise.resolve(TYPES.filter(isSelected));

const inSql = async (condition: string, parameter: unknown): Promise<string[]> => {
  const rows = await database.query<{ type: string }[]>(
    `SELECT type FROM unnest($2::text[]) AS t(type) WHERE ${condition}`,
    [parameter, TYPES],
  );
  return rows.map(({ type }) => type);
};

const listed = async (path: string, topics?: string[]): Promise<string[]> => {
  const api = topics ? app.api.as(tokenFor(OWNER, { topics })) : app.api;
  const { data } = await api.get(path);
  return data.flatMap(({ id, eventId }) => typeOf(eventId ?? id));
};

/** What the operation has chosen; it is forgotten then, so that the next one can choose the same. */
async function chosenBy(path: string, body: object): Promise<string[]> {
  await app.api.post(path, body, 202);
  const rows = await database.query<{ id: string }[]>(
    'SELECT unnest(event_ids) AS id FROM bulk_operation_slices',
  );
  await database.query('DELETE FROM bulk_operation_slices');
  return rows.flatMap(({ id }) => typeOf(id));
}

const principal = (topics?: string[]): Principal => ({
  ownerId: OWNER,
  userId: OWNER,
  roles: new Set(['subscriber'] as const),
  topics,
});

/** Every user of the rule: the types that it takes the pattern to select. */
const USERS: Record<string, (pattern: string) => Promise<string[]>> = {
  'the predicate': (pattern) => typesWith((type) => matches(pattern, type)),
  'the patterns of a type': (pattern) => typesWith((type) => patternsOf(type).includes(pattern)),
  'the comparison of patterns': (pattern) => typesWith((type) => covers(pattern, type)),
  'the SQL of one pattern': (pattern) => inSql(matchesSql('$1::text', 'type'), pattern),
  'the SQL of several patterns': (pattern) =>
    inSql(matchesAnySql('$1::text[]', 'type'), ['none', pattern]),
  'the webhooks of an event': (pattern) => {
    const index = new SubscriptionIndex();
    index.set({ id: 'wh_1', ownerId: OWNER, events: ['none', pattern] });
    return typesWith((type) => index.match(OWNER, type).length > 0);
  },
  'the rooms of an event': (pattern) => {
    const rooms = new Set(roomsOfTopic(principal(), { type: pattern }));
    const event = { ownerId: OWNER, subject: null };
    return typesWith((type) => roomsOfEvent({ ...event, type }).some((room) => rooms.has(room)));
  },
  'the topics of a token': (pattern) =>
    typesWith((type) => canSubscribe(principal(['none', pattern]), type)),
  'the event log, by type': (pattern) => listed(`/events?limit=200&type=${pattern}`),
  'the event log, by the topics of a token': (pattern) =>
    listed('/events?limit=200', ['none', pattern]),
  'one event, by the topics of a token': async (pattern) => {
    const api = app.api.as(tokenFor(OWNER, { topics: ['none', pattern] }));
    const found: string[] = [];
    for (const [type, id] of eventIds) {
      if ((await api.request('GET', `/events/${id}`)).status === 200) found.push(type);
    }
    return found;
  },
  'the deliveries of an event, by the topics of a token': async (pattern) => {
    const api = app.api.as(tokenFor(OWNER, { topics: ['none', pattern] }));
    const found: string[] = [];
    for (const [type, id] of eventIds) {
      if ((await api.request('GET', `/events/${id}/deliveries`)).status === 200) found.push(type);
    }
    return found;
  },
  'the deliveries': (pattern) => listed(`/deliveries?limit=200&status=dead_letter&type=${pattern}`),
  'the deliveries without an attempt': (pattern) =>
    listed(`/deliveries?limit=200&status=pending&type=${pattern}`),
  'the dead letters': (pattern) => listed(`/dead-letters?limit=200&type=${pattern}`),
  'a redrive': (pattern) => chosenBy('/dead-letters/redrive', { type: pattern }),
  'a replay, by types': (pattern) =>
    chosenBy(`/webhooks/${empty.id}/replay`, { since: SINCE, types: ['none', pattern] }),
  'a replay, by the patterns of the webhook': (pattern) =>
    chosenBy(`/webhooks/${subscribed.get(pattern)!.id}/replay`, { since: SINCE }),
  'a replay of one event': async (pattern) => {
    const webhookIds = [subscribed.get(pattern)!.id];
    const found: string[] = [];
    for (const id of eventIds.values()) {
      found.push(...(await chosenBy(`/events/${id}/replay`, { webhookIds })));
    }
    return found;
  },
  'what a client has missed': async (pattern) => {
    const point = (await log.resumePoint(first))!;
    const { events } = await log.page({
      scope: { ownerId: null, topics: [{ type: 'none' }, { type: pattern }] },
      from: point.position,
      lowestId: '',
      snapshot: point.snapshot,
      reorderWindow: { fromId: first, publishedBy: null },
    });
    return events.flatMap(({ id }) => typeOf(id));
  },
};

describe.each(Object.entries(USERS))('%s', (_name, selectedBy) => {
  it.each(PATTERNS)('follows the rule for %s', async (pattern) => {
    expect((await selectedBy(pattern)).sort()).toEqual(SELECTED[pattern]);
  });
});

const segment = fc.constantFrom('a', 'b', 'ab', 'webhook', 'disabled', 'client-connected');
const type = fc.oneof(
  fc.array(segment, { minLength: 1, maxLength: 4 }).map((parts) => parts.join('.')),
  fc.constantFrom(...SYSTEM_EVENT_TYPES),
);
const pattern = fc.oneof(
  fc.constant('*'),
  type,
  type.map((prefix) => `${prefix}.*`),
);

describe('the predicate and its SQL', () => {
  it('agree on any pattern and type', async () => {
    const pairs = fc.array(fc.tuple(pattern, type), { minLength: 100, maxLength: 200 });
    await fc.assert(
      fc.asyncProperty(pairs, async (given) => {
        const rows = await database.query<{ one: boolean; any: boolean }[]>(
          `SELECT ${matchesSql('pattern', 'type')} AS one,
                  ${matchesAnySql('ARRAY[pattern]', 'type')} AS any
             FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS g(pattern, type, number)
            ORDER BY number`,
          [given.map(([p]) => p), given.map(([, t]) => t)],
        );
        const expected = given.map(([p, t]) => matches(p, t));
        expect(rows.map(({ one }) => one)).toEqual(expected);
        expect(rows.map(({ any }) => any)).toEqual(expected);
      }),
      { numRuns: 40 },
    );
  });
});

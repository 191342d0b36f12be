import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/common/ids.js';
import { EventHistoryStore } from '../../src/realtime/history/event-history.store.js';
import { DeliveryRows } from '../support/delivery-rows.js';

let rows: DeliveryRows;
let history: EventHistoryStore;
let clients: pg.Client[];

beforeEach(async () => {
  rows = await DeliveryRows.create();
  history = new EventHistoryStore(rows.postgres);
  clients = [];
});
afterEach(async () => {
  await Promise.all(clients.map((client) => client.end()));
  await rows.drop();
});

/** A transaction of somebody else, which stays open until it is told to end. */
async function transaction(): Promise<pg.Client> {
  const client = rows.postgres.createClient();
  clients.push(client);
  await client.connect();
  await client.query('BEGIN');
  return client;
}

interface Given {
  ownerId?: string;
  type?: string;
  subject?: string;
  within?: pg.Client;
}

const INSERT = `
  INSERT INTO events (id, owner_id, type, subject, body, priority, tx, tx_snapshot)
  VALUES ($1, $2, $3, $4, $5, 1, pg_current_xact_id()::text::bigint, pg_current_snapshot()::text)`;

async function publish({ ownerId, type = 'a.b', subject, within }: Given = {}): Promise<string> {
  const id = newId('evt');
  const values = [id, ownerId ?? null, type, subject ?? null, `{"id":"${id}"}`];
  if (within) await within.query(INSERT, values);
  else await rows.query(INSERT, values);
  return id;
}

const ALL = { ownerId: null, topics: [{ type: '*' }] };

/** All pages of what somebody has missed who has seen this event. */
async function missedAfter(eventId: string, scope: typeof ALL | Scope = ALL): Promise<string[]> {
  const landmark = await history.landmark(eventId);
  const ids: string[] = [];
  for (let from = { tx: landmark!.horizon, id: '' }; ;) {
    const { events, next } = await history.page(landmark!, from, scope);
    ids.push(...events.map(({ id }) => id));
    if (!next) return ids;
    from = next;
  }
}

interface Scope {
  ownerId: string | null;
  topics: { type: string; subject?: string }[];
}

describe('what somebody has missed who has seen an event', () => {
  it('is everything that was committed after it, in order', async () => {
    await publish();
    const seen = await publish();
    const missed = [await publish(), await publish(), await publish()];
    expect(await missedAfter(seen)).toEqual(missed);
    expect(await missedAfter(missed[2]!)).toEqual([]);
  });

  it('includes what began earlier and committed later', async () => {
    const slow = await transaction();
    const early = await publish({ within: slow });
    const seen = await publish();
    const between = await publish();
    await slow.query('COMMIT');
    expect(early < seen).toBe(true);
    expect(await missedAfter(seen)).toEqual([early, between]);
  });

  it('includes it also where the transaction had committed something before', async () => {
    const [first, second] = [await transaction(), await transaction()];
    const inFirst = await publish({ within: first });
    const inSecond = await publish({ within: second });
    await second.query('COMMIT');
    const seen = await publish();
    await first.query('COMMIT');
    expect(await missedAfter(inSecond)).toEqual([inFirst, seen]);
    expect(await missedAfter(seen)).toEqual([inFirst]);
  });

  it('leaves out what was rolled back', async () => {
    const doomed = await transaction();
    await publish({ within: doomed });
    const seen = await publish();
    await doomed.query('ROLLBACK');
    expect(await missedAfter(seen)).toEqual([]);
  });

  it('is not repeated by an event that came late itself', async () => {
    const slow = await transaction();
    const late = await publish({ within: slow });
    await publish();
    await publish();
    // What it saw is what had committed when it was written, so these two came after it.
    await slow.query('COMMIT');
    const news = await publish();
    expect(await missedAfter(late)).toHaveLength(3);
    expect((await missedAfter(late)).at(-1)).toBe(news);
  });

  it('goes on over as many pages as it takes, and leaves nothing out between them', async () => {
    const seen = await publish();
    await rows.query(
      `INSERT INTO events (id, type, body, priority, tx, tx_snapshot)
       SELECT 'evt_' || substr($1, 5, 16) || lpad(n::text, 10, '0'), 'a.b', '{}', 1,
              pg_current_xact_id()::text::bigint, pg_current_snapshot()::text
         FROM generate_series(1, 4500) AS n`,
      [newId('evt')],
    );
    const missed = await missedAfter(seen);
    expect(missed).toHaveLength(4_500);
    expect(new Set(missed).size).toBe(4_500);
  });

  it('is only what they may hear and have asked for', async () => {
    const seen = await publish({ ownerId: 'acme' });
    const own = await publish({ ownerId: 'acme', type: 'trade.done' });
    await publish({ ownerId: 'other', type: 'trade.done' });
    const open = await publish({ type: 'trade.done', subject: 'AAPL' });
    await publish({ ownerId: 'acme', type: 'tradex.done' });
    const bound = await publish({ ownerId: 'acme', type: 'price', subject: 'AAPL' });
    await publish({ ownerId: 'acme', type: 'price', subject: 'MSFT' });
    const topics = [{ type: 'trade.*' }, { type: 'price', subject: 'AAPL' }];
    expect(await missedAfter(seen, { ownerId: 'acme', topics })).toEqual([own, open, bound]);
    const exact = { ownerId: 'acme', topics: [{ type: 'trade.done', subject: 'AAPL' }] };
    expect(await missedAfter(seen, exact)).toEqual([open]);
    expect(await missedAfter(seen, { ownerId: 'acme', topics: [] })).toEqual([]);
  });

  it('has what the system tells about itself only for those who name it', async () => {
    const seen = await publish();
    const told = await publish({ type: 'client-connected' });
    const news = await publish();
    expect(await missedAfter(seen)).toEqual([news]);
    const topics = [{ type: 'client-connected' }, { type: '*' }];
    expect(await missedAfter(seen, { ownerId: null, topics })).toEqual([told, news]);
  });

  it('cannot be told once the event is gone, nor of one that another log has brought', async () => {
    expect(await history.landmark(newId('evt'))).toBeUndefined();
    const foreign = await publish();
    await rows.query(`UPDATE events SET tx = 9000000000000000000 WHERE id = $1`, [foreign]);
    expect(await history.landmark(foreign)).toBeUndefined();
  });
});

describe('what was committed between two moments', () => {
  it('is complete and disjoint, whatever is under way meanwhile', async () => {
    const moments = [await history.moment()];
    const slow = await transaction();
    const late = await publish({ within: slow });
    const first = await publish();
    moments.push(await history.moment());
    const second = await publish();
    await slow.query('COMMIT');
    moments.push(await history.moment());
    await publish();
    expect(await history.committedBetween(moments[0]!, moments[1]!)).toEqual([first]);
    expect(await history.committedBetween(moments[1]!, moments[2]!)).toEqual([late, second]);
    const events = await history.events([second, late]);
    expect(events.map(({ id }) => id)).toEqual([late, second]);
  });
});

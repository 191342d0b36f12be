import fc from 'fast-check';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { LogReaderStore, type LogScope } from '../../src/realtime/resume/log-reader.store.js';
import type { LogPageReader } from '../../src/realtime/resume/log-page.js';
import { beginningFor, type ResumePoint } from '../../src/realtime/resume/resume-point.js';
import { SharedLogReader } from '../../src/realtime/resume/shared-log-reader.service.js';
import { DeliveryRows } from '../support/delivery-rows.js';

let rows: DeliveryRows;
let log: LogReaderStore;
let reader: SharedLogReader;
let clients: pg.Client[];

beforeEach(async () => {
  rows = await DeliveryRows.create();
  log = new LogReaderStore(rows.postgres);
  reader = new SharedLogReader(
    log,
    { reaches: () => true, channelOf: () => undefined },
    { retention: { eventDays: 30, auditDays: 30, idempotencyKeyHours: 72 } },
  );
  clients = [];
});
afterEach(async () => {
  await Promise.all(clients.map((client) => client.end()));
  await rows.drop();
});

/** A transaction of a caller, which stays open until the test ends it. */
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
  publishedBy?: number | null;
}

const INSERT = `
  INSERT INTO events (id, owner_id, type, subject, body, priority, tx, tx_snapshot, published_by)
  VALUES ($1, $2, $3, $4, $5, 1, pg_current_xact_id()::text::bigint, pg_current_snapshot()::text, $6)`;

async function publish(given: Given = {}): Promise<string> {
  const { ownerId, type = 'a.b', subject, within, publishedBy = 1 } = given;
  const id = newId('evt');
  const values = [id, ownerId ?? null, type, subject ?? null, `{"id":"${id}"}`, publishedBy];
  if (within) await within.query(INSERT, values);
  else await rows.query(INSERT, values);
  return id;
}

const ALL: LogScope = { ownerId: null, topics: [{ type: '*' }] };

const resumePointOf = async (eventId: string): Promise<ResumePoint> =>
  (await reader.resumePoint(eventId, 'acme'))!;

const missedOf = (page: LogPageReader, point: ResumePoint): string[] =>
  page.missedSince(point).flatMap(({ events }) => events.map(({ id }) => id));

/** All that a client has missed that resumes at this event. */
async function missedAfter(eventId: string, scope = ALL): Promise<string[]> {
  const point = await resumePointOf(eventId);
  const ids: string[] = [];
  for (let from = beginningFor(point); ;) {
    const page = await reader.page({ point, from, scope, reader: 'acme' });
    ids.push(...missedOf(page, point));
    if (!page.next) return ids;
    from = page.next;
  }
}

/** Two consecutive events at which clients begin to read at the same position. */
async function publishNeighbours(given: Given = {}): Promise<[ResumePoint, ResumePoint]> {
  for (;;) {
    const [one, other] = [await publish(given), await publish(given)];
    const points = [await resumePointOf(one), await resumePointOf(other)] as const;
    if (beginningFor(points[0]).tx === beginningFor(points[1]).tx) return [...points];
  }
}

describe('what a client has missed that resumes at an event', () => {
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

  it('is counted from what a late event saw itself', async () => {
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

  it('includes what its own transaction wrote after it, also when others had ended meanwhile', async () => {
    const own = await transaction();
    await publish({ within: own });
    await publish();
    const seen = await publish({ within: own });
    const missed = await publish({ within: own });
    await own.query('COMMIT');
    expect(await missedAfter(seen)).toEqual([missed]);
  });

  it('may include what other nodes have sent late, though it was committed before, in order', async () => {
    const own = await publish();
    const others = await publish({ publishedBy: 2 });
    const callers = await publish({ publishedBy: null });
    const seen = await publish();
    const news = await publish({ publishedBy: 2 });
    expect(await missedAfter(seen)).toEqual([others, callers, news]);
    expect(await missedAfter(news)).toEqual([own, callers, seen]);
    await rows.query(`UPDATE events SET published_by = 1 WHERE published_by IS DISTINCT FROM 1`);
    expect(await missedAfter(seen)).toEqual([news]);
  });

  it('takes any number of pages, and leaves nothing out between them', async () => {
    const seen = await publish();
    await rows.query(
      `INSERT INTO events (id, type, body, priority, tx, tx_snapshot, published_by)
       SELECT 'evt_' || substr($1, 5, 16) || lpad(n::text, 10, '0'), 'a.b', '{}', 1,
              pg_current_xact_id()::text::bigint, pg_current_snapshot()::text, 1
         FROM generate_series(1, 4500) AS n`,
      [newId('evt')],
    );
    const missed = await missedAfter(seen);
    expect(missed).toHaveLength(4_500);
    expect(new Set(missed).size).toBe(4_500);
  });

  it('is only what the client may receive and has subscribed to', async () => {
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

  it('has system events only for clients that name their type', async () => {
    const seen = await publish();
    const system = await publish({ type: 'client-connected' });
    const news = await publish();
    expect(await missedAfter(seen)).toEqual([news]);
    const topics = [{ type: 'client-connected' }, { type: '*' }];
    expect(await missedAfter(seen, { ownerId: null, topics })).toEqual([system, news]);
  });

  it('is unknown once the event is dropped, or if it comes from another installation', async () => {
    expect(await reader.resumePoint(newId('evt'), 'acme')).toBeUndefined();
    const foreign = await publish();
    await rows.query(`UPDATE events SET tx = 9000000000000000000 WHERE id = $1`, [foreign]);
    expect(await reader.resumePoint(foreign, 'acme')).toBeUndefined();
  });
});

describe('what many clients have missed that resume at the same time', () => {
  it('is read once for those at nearly the same position, and differs', async () => {
    const [first, second] = await publishNeighbours();
    const missed = await publish();
    const from = beginningFor(first);
    const [one, other] = await Promise.all([
      reader.page({ point: first, from, scope: ALL, reader: 'acme' }),
      reader.page({ point: second, from, scope: ALL, reader: 'acme' }),
    ]);
    expect(one).toBe(other);
    expect(missedOf(one, first)).toEqual([second.position.id, missed]);
    expect(missedOf(one, second)).toEqual([missed]);
  });

  it('is encoded once for those that have missed the same', async () => {
    const point = await resumePointOf(await publish());
    await publish();
    const pages = await Promise.all(
      [ALL, ALL].map((scope) =>
        reader.page({ point, from: beginningFor(point), scope, reader: 'acme' }),
      ),
    );
    expect(pages[0]!.missedSince(point)).toBe(pages[1]!.missedSince(point));
  });

  it('is never shared by two owners, nor by clients with different topics', async () => {
    const [point] = await publishNeighbours();
    const acme = await publish({ ownerId: 'acme', type: 'a.b', subject: 'x' });
    const other = await publish({ ownerId: 'other', type: 'a.b', subject: 'x' });
    const publicEvent = await publish({ type: 'a.c' });
    const from = beginningFor(point);
    const missed = async (scope: LogScope) =>
      missedOf(await reader.page({ point, from, scope, reader: 'acme' }), point);
    const all = [{ type: '*' }];
    const found = await Promise.all([
      missed({ ownerId: 'acme', topics: all }),
      missed({ ownerId: 'other', topics: all }),
      missed({ ownerId: 'null', topics: all }),
      missed({ ownerId: 'acme', topics: [{ type: 'a.b' }] }),
      missed({ ownerId: 'acme', topics: [{ type: 'a.b', subject: 'y' }] }),
    ]);
    const before = found[2].slice(0, -1);
    expect(found).toEqual([
      [...before, acme, publicEvent],
      [...before, other, publicEvent],
      [...before, publicEvent],
      [...before, acme],
      [],
    ]);
  });

  it('is what each of them has missed, however the transactions interleave', async () => {
    const step = fc.oneof(
      fc.record({ of: fc.nat(3), ends: fc.constant(false) }),
      fc.record({ of: fc.nat(3), ends: fc.boolean() }),
    );
    const others = [
      await transaction(),
      await transaction(),
      await transaction(),
      await transaction(),
    ];
    for (const each of others) await each.query('ROLLBACK');
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
        const published = await interleaved(others, steps);
        const ids = published.map(({ id }) => id);
        const missed = await Promise.all(ids.map((id) => missedAfter(id)));
        published.forEach((seen, index) => {
          const expected = published.filter((event) => event !== seen && !isSeen(event, seen));
          const found = missed[index]!.filter((id) => ids.includes(id));
          expect(new Set(found)).toEqual(new Set(expected.map(({ id }) => id)));
          expect(found).toHaveLength(expected.length);
        });
      }),
      { numRuns: 8 },
    );
  });

  /** When it was written and committed, counted in steps. */
  interface Written {
    id: string;
    transaction: number;
    writtenAt: number;
    committedAt: number;
  }

  /** Whether the event had been committed, or written by the same transaction, before the other one. */
  const isSeen = (event: Written, { transaction, writtenAt }: Written): boolean =>
    event.committedAt < writtenAt ||
    (event.transaction === transaction && event.writtenAt < writtenAt);

  /** Events of transactions that overlap, one at a time of each of the others. */
  async function interleaved(
    others: readonly pg.Client[],
    steps: { of: number; ends: boolean }[],
  ): Promise<Written[]> {
    const published: Written[] = [];
    /** By their place among the others: when their transactions began. */
    const begun = new Map<number, number>();
    const end = async (of: number, at: number): Promise<void> => {
      await others[of]!.query('COMMIT');
      for (const event of published) {
        if (event.transaction === begun.get(of)) event.committedAt = at;
      }
      begun.delete(of);
    };
    for (const [at, { of, ends }] of steps.entries()) {
      if (!begun.has(of)) {
        await others[of]!.query('BEGIN');
        begun.set(of, at);
      }
      const id = await publish({ within: others[of]! });
      published.push({ id, transaction: begun.get(of)!, writtenAt: at, committedAt: Infinity });
      if (ends) await end(of, at + 0.5);
    }
    for (const of of begun.keys()) await end(of, steps.length);
    return published;
  }
});

describe('what was committed between two snapshots', () => {
  it('is complete and disjoint, whatever transactions are running', async () => {
    const snapshots = [(await log.moment()).snapshot];
    const slow = await transaction();
    const late = await publish({ within: slow });
    const first = await publish();
    snapshots.push((await log.moment()).snapshot);
    const second = await publish();
    await slow.query('COMMIT');
    snapshots.push((await log.moment()).snapshot);
    await publish();
    expect(await log.committedBetween(snapshots[0]!, snapshots[1]!)).toEqual([first]);
    expect(await log.committedBetween(snapshots[1]!, snapshots[2]!)).toEqual([late, second]);
    const events = await log.events([second, late]);
    expect(events.map(({ id }) => id)).toEqual([late, second]);
  });
});

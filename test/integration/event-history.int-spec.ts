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
let history: SharedLogReader;
let clients: pg.Client[];

beforeEach(async () => {
  rows = await DeliveryRows.create();
  log = new LogReaderStore(rows.postgres);
  history = new SharedLogReader(log, { reaches: () => true });
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
  toldBy?: number | null;
}

const INSERT = `
  INSERT INTO events (id, owner_id, type, subject, body, priority, tx, tx_snapshot, published_by)
  VALUES ($1, $2, $3, $4, $5, 1, pg_current_xact_id()::text::bigint, pg_current_snapshot()::text, $6)`;

async function publish(given: Given = {}): Promise<string> {
  const { ownerId, type = 'a.b', subject, within, toldBy = 1 } = given;
  const id = newId('evt');
  const values = [id, ownerId ?? null, type, subject ?? null, `{"id":"${id}"}`, toldBy];
  if (within) await within.query(INSERT, values);
  else await rows.query(INSERT, values);
  return id;
}

const ALL: LogScope = { ownerId: null, topics: [{ type: '*' }] };

const landmarkOf = async (eventId: string): Promise<ResumePoint> =>
  (await history.resumePoint(eventId))!;

const missedOf = (page: LogPageReader, landmark: ResumePoint): string[] =>
  page.missedSince(landmark).flatMap(({ events }) => events.map(({ id }) => id));

/** All pages of what somebody has missed who has seen this event. */
async function missedAfter(eventId: string, scope = ALL): Promise<string[]> {
  const landmark = await landmarkOf(eventId);
  const ids: string[] = [];
  for (let from = beginningFor(landmark); ;) {
    const page = await history.page(landmark, from, scope);
    ids.push(...missedOf(page, landmark));
    if (!page.next) return ids;
    from = page.next;
  }
}

/** Two events, one after the other, after which readers begin at the same place. */
async function publishNeighbours(given: Given = {}): Promise<[ResumePoint, ResumePoint]> {
  for (;;) {
    const [one, other] = [await publish(given), await publish(given)];
    const landmarks = [await landmarkOf(one), await landmarkOf(other)] as const;
    if (beginningFor(landmarks[0]).tx === beginningFor(landmarks[1]).tx) return [...landmarks];
  }
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

  it('includes what its own transaction wrote after it, also when others had ended meanwhile', async () => {
    const own = await transaction();
    await publish({ within: own });
    await publish();
    const seen = await publish({ within: own });
    const missed = await publish({ within: own });
    await own.query('COMMIT');
    expect(await missedAfter(seen)).toEqual([missed]);
  });

  it('may include what others had told late, though it was committed before, and is in order', async () => {
    const own = await publish();
    const others = await publish({ toldBy: 2 });
    const callers = await publish({ toldBy: null });
    const seen = await publish();
    const news = await publish({ toldBy: 2 });
    expect(await missedAfter(seen)).toEqual([others, callers, news]);
    expect(await missedAfter(news)).toEqual([own, callers, seen]);
    await rows.query(`UPDATE events SET published_by = 1 WHERE published_by IS DISTINCT FROM 1`);
    expect(await missedAfter(seen)).toEqual([news]);
  });

  it('goes on over as many pages as it takes, and leaves nothing out between them', async () => {
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
    expect(await history.resumePoint(newId('evt'))).toBeUndefined();
    const foreign = await publish();
    await rows.query(`UPDATE events SET tx = 9000000000000000000 WHERE id = $1`, [foreign]);
    expect(await history.resumePoint(foreign)).toBeUndefined();
  });
});

describe('what many have missed who ask at the same time', () => {
  it('is read once for those who left off at nearly the same place, and differs', async () => {
    const [first, second] = await publishNeighbours();
    const missed = await publish();
    const from = beginningFor(first);
    const [one, other] = await Promise.all([
      history.page(first, from, ALL),
      history.page(second, from, ALL),
    ]);
    expect(one).toBe(other);
    expect(missedOf(one, first)).toEqual([second.position.id, missed]);
    expect(missedOf(one, second)).toEqual([missed]);
  });

  it('is put together once for those who have missed the same', async () => {
    const landmark = await landmarkOf(await publish());
    await publish();
    const pages = await Promise.all(
      [ALL, ALL].map((scope) => history.page(landmark, beginningFor(landmark), scope)),
    );
    expect(pages[0]!.missedSince(landmark)).toBe(pages[1]!.missedSince(landmark));
  });

  it('is never shared by two owners, nor by those who listen to different things', async () => {
    const [landmark] = await publishNeighbours();
    const acme = await publish({ ownerId: 'acme', type: 'a.b', subject: 'x' });
    const other = await publish({ ownerId: 'other', type: 'a.b', subject: 'x' });
    const everybodys = await publish({ type: 'a.c' });
    const from = beginningFor(landmark);
    const missed = async (scope: LogScope) =>
      missedOf(await history.page(landmark, from, scope), landmark);
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
      [...before, acme, everybodys],
      [...before, other, everybodys],
      [...before, everybodys],
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

describe('what was committed between two moments', () => {
  it('is complete and disjoint, whatever is under way meanwhile', async () => {
    const moments = [await log.snapshot()];
    const slow = await transaction();
    const late = await publish({ within: slow });
    const first = await publish();
    moments.push(await log.snapshot());
    const second = await publish();
    await slow.query('COMMIT');
    moments.push(await log.snapshot());
    await publish();
    expect(await log.committedBetween(moments[0]!, moments[1]!)).toEqual([first]);
    expect(await log.committedBetween(moments[1]!, moments[2]!)).toEqual([late, second]);
    const events = await log.events([second, late]);
    expect(events.map(({ id }) => id)).toEqual([late, second]);
  });
});

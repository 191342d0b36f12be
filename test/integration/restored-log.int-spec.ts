import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { migrateUnderLock } from '../../src/database/migrate.store.js';
import { LogReaderStore } from '../../src/realtime/resume/log-reader.store.js';
import {
  beginningFor,
  isMissed,
  lowestIdFor,
  reorderWindowOf,
  type ResumePoint,
} from '../../src/realtime/resume/resume-point.js';
import { newId } from '../../src/shared/ids.js';
import { DeliveryRows } from '../support/delivery-rows.js';

let rows: DeliveryRows;
let log: LogReaderStore;

beforeEach(async () => {
  rows = await DeliveryRows.create();
  log = new LogReaderStore(rows.postgres);
});
afterEach(() => rows.drop());

/** An event as the server writes it. @param ahead transactions by which it was on another server */
async function add(ahead = 0): Promise<string> {
  const id = newId('evt');
  await rows.query(
    `INSERT INTO events (id, type, body, priority, tx, tx_snapshot, published_by)
     SELECT $1, 't', '{}', 1, at + $2::bigint, (at + $2::bigint) || ':' || (at + $2::bigint) || ':', 1
       FROM (SELECT pg_current_xact_id()::text::bigint AS at) AS tx`,
    [id, ahead],
  );
  return id;
}

/** What a client is sent that resumes after this event. */
async function resumedAfter(point: ResumePoint): Promise<string[]> {
  const { events } = await log.page({
    scope: { ownerId: null, topics: [{ type: '*', subject: undefined }] },
    from: beginningFor(point),
    lowestId: lowestIdFor(point),
    snapshot: point.snapshot,
    reorderWindow: { ...reorderWindowOf([point]), fromId: point.position.id },
  });
  return events.filter((event) => isMissed(point, event)).map(({ id }) => id);
}

describe('a log that was restored into a server', () => {
  it.each([
    ['with fewer transactions', 1_000_000],
    ['with a few transactions less', 40],
  ])('%s is not sent again to clients that resume after a new event', async (_which, ahead) => {
    const restored = [await add(ahead), await add(ahead + 1), await add(ahead + 2)];
    const old = await add();
    await migrateUnderLock(rows.dataSource);
    const seen = await add();
    const missed = await add();
    const point = await log.resumePoint(seen);
    expect(await resumedAfter(point!)).toEqual([missed]);
    // Nothing can be said of what came after these.
    for (const id of [...restored, old]) expect(await log.resumePoint(id)).toBeUndefined();
  });

  it('with more transactions stays as it is', async () => {
    const first = await add();
    const second = await add();
    await migrateUnderLock(rows.dataSource);
    expect(await resumedAfter((await log.resumePoint(first))!)).toEqual([second]);
  });
});

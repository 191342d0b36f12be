import { Logger } from '@nestjs/common';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { textList, texts } from '../../src/database/bulk.js';
import { DeliveryRows } from '../support/delivery-rows.js';
import { DAY_MS, eventIdAt, LogRows, partitionAt } from '../support/log-rows.js';
import { retentionOf } from '../support/retention-of.js';

const RETENTION_DAYS = 30;
const OLD = 40;
/** So many that a plan which reads one of the tables for each pending row never ends in time. */
const EVENTS = 20_000;
const PER_EVENT_MS = Math.floor(DAY_MS / EVENTS);
const PENDING = 780;
/** More than may be moved at once. */
const MUCH = 11_000;

Logger.overrideLogger(false);

let rows: DeliveryRows;
let log: LogRows;

beforeEach(async () => {
  rows = await DeliveryRows.create();
  log = new LogRows(rows);
  await retentionOf(rows.postgres, RETENTION_DAYS).prepare(Date.now() - OLD * DAY_MS);
  const midnight = Math.floor(Date.now() / DAY_MS - OLD) * DAY_MS;
  const ids = Array.from({ length: EVENTS }, (_, n) => eventIdAt(midnight + n * PER_EVENT_MS));
  await rows.query(
    `INSERT INTO events (id, type, body, priority)
     SELECT id, 't', '{}', 1 FROM unnest(${texts(1)}) AS id`,
    [textList(ids)],
  );
  await rows.query(
    `INSERT INTO deliveries (id, event_id, webhook_id, event_type, status, attempts)
     SELECT 'dlv_' || substr(id, 5), id, 'wh_1', 't', 'success', 1 FROM events`,
  );
  await rows.query(
    `INSERT INTO delivery_attempts (delivery_id, started_at, number, duration_ms)
     SELECT id, now(), 1, 5 FROM deliveries`,
  );
});
afterEach(() => rows.drop());

/** What keeps rows of a day, for that many of its events. */
const REASONS: [what: string, keep: (count: number) => Promise<unknown>][] = [
  [
    'are in the outbox',
    (count) =>
      rows.query(
        `INSERT INTO event_outbox (event_id, webhook_ids, due_at)
         SELECT id, '{wh_1}', now() FROM events ORDER BY id LIMIT $1`,
        [count],
      ),
  ],
  [
    'have a delivery that is not final',
    (count) =>
      rows.query(
        `UPDATE deliveries SET status = 'pending'
          WHERE id IN (SELECT id FROM deliveries ORDER BY id LIMIT $1)`,
        [count],
      ),
  ],
  [
    'wait for a bulk operation',
    (count) =>
      rows.query(
        `INSERT INTO bulk_operation_slices (operation_id, webhook_id, number, event_ids)
         SELECT 'op_1', 'wh_1', 1, array_agg(id) FROM (SELECT id FROM events ORDER BY id LIMIT $1) AS e`,
        [count],
      ),
  ],
];

/** Statistics that the tables can have: from when they were empty, or from now. */
const STATISTICS: [when: string, prepare: () => Promise<unknown>][] = [
  ['never analyzed', () => Promise.resolve()],
  ['analyzed', () => rows.query('ANALYZE')],
];

describe.each(STATISTICS)('a large old day that was %s', (_when, analyze) => {
  it.each(REASONS)('is dropped while some of its events %s, which stay', async (_what, keep) => {
    await keep(PENDING);
    await analyze();
    await retentionOf(rows.postgres, RETENTION_DAYS).run(Date.now());
    expect(await log.partitions()).not.toContain(partitionAt('deliveries', OLD));
    expect(await log.partitions()).not.toContain(partitionAt('delivery_attempts', OLD));
    expect(await log.partitions()).not.toContain(partitionAt('events', OLD));
    const { events, deliveries, attempts } = await log.ids();
    expect([events.length, deliveries.length, attempts.length]).toEqual([
      PENDING,
      PENDING,
      PENDING,
    ]);
  });
});

describe('a large old day', () => {
  it.each(REASONS)('is emptied row by row while many of its events %s', async (_what, keep) => {
    await keep(MUCH);
    await retentionOf(rows.postgres, RETENTION_DAYS).run(Date.now());
    const { events, deliveries, attempts } = await log.ids();
    expect([events.length, deliveries.length, attempts.length]).toEqual([MUCH, MUCH, MUCH]);
  });
});

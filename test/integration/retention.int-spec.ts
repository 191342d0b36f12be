import { Logger } from '@nestjs/common';
import { DataSource } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { firstSuffixAt, newId } from '../../src/shared/ids.js';
import { PostgresClient } from '../../src/database/postgres.client.js';
import { DueDeliveriesStore } from '../../src/delivery/claims/due.store.js';
import { OutboxStore } from '../../src/delivery/claims/outbox.store.js';
import { LogPartitionsStore } from '../../src/retention/log-partitions.store.js';
import { DAYS_AHEAD } from '../../src/retention/partition-plan.js';
import { RetentionLock } from '../../src/retention/retention-lock.store.js';
import { RetentionService } from '../../src/retention/retention.service.js';
import { DeliveryRows } from '../support/delivery-rows.js';
import { eventually } from '../support/eventually.js';
import { DAY_MS, LogRows, partitionAt } from '../support/log-rows.js';
import { retentionOf } from '../support/retention-of.js';

const TABLES = ['deliveries', 'delivery_attempts', 'events'];
const RETENTION_DAYS = 30;
/** Its whole day is past the retention. */
const OLD = 40;
const LEASE_MS = 60_000;
/** How long the product keeps keys. */
const IDEMPOTENCY_KEY_HOURS = 72;

let rows: DeliveryRows;
let log: LogRows;
let retention: RetentionService;

// One line per partition is for operators.
Logger.overrideLogger(false);

beforeEach(async () => {
  rows = await DeliveryRows.create();
  log = new LogRows(rows);
  retention = retentionOf(rows.postgres, RETENTION_DAYS);
});
afterEach(() => rows.drop());

/** The partitions of that day and the week after it, as they were made then. */
const prepareOld = (ageDays = OLD) => retention.prepare(Date.now() - ageDays * DAY_MS);
const run = () => retention.run(Date.now());

describe('the partitions of the days to come', () => {
  it('are there in every table, and rows go to the one of their event', async () => {
    await retention.prepare(Date.now());
    const event = await log.event(0);
    const delivery = await log.delivery(event, 'success');
    const later = await log.event(-DAYS_AHEAD);
    expect((await log.partitions()).length).toBe((DAYS_AHEAD + 1) * TABLES.length);
    expect(await log.partitionOf('events', event)).toBe(partitionAt('events', 0));
    expect(await log.partitionOf('deliveries', delivery)).toBe(partitionAt('deliveries', 0));
    expect(await log.partitionOf('delivery_attempts', delivery)).toBe(
      partitionAt('delivery_attempts', 0),
    );
    expect(await log.partitionOf('events', later)).toBe(partitionAt('events', -DAYS_AHEAD));
  });

  it('take over what the DEFAULT partition holds of them, and nothing else', async () => {
    const [today, old] = [await log.event(0), await log.event(OLD)];
    const delivery = await log.delivery(today, 'retrying');
    await retention.prepare(Date.now());
    expect(await log.partitionOf('events', today)).toBe(partitionAt('events', 0));
    expect(await log.partitionOf('deliveries', delivery)).toBe(partitionAt('deliveries', 0));
    expect(await log.partitionOf('events', old)).toBe('events_default');
    expect((await log.ids()).attempts).toEqual([delivery]);
  });

  it('leave a day where it is that has too many rows to move while others wait', async () => {
    await log.manyDeliveries(await log.event(0), 'success', 10_001);
    await retention.prepare(Date.now());
    expect(await log.partitions('deliveries_')).not.toContain(partitionAt('deliveries', 0));
    expect(await log.partitions('deliveries_')).toContain(partitionAt('deliveries', -1));
    expect((await log.ids()).deliveries.length).toBe(10_001);
  });

  it('are the same on every table: columns, indexes, free space', async () => {
    await retention.prepare(Date.now());
    const shapes = await rows.query<{ parent: string; shape: string }>(`
      SELECT i.inhparent::regclass::text AS parent,
             concat(p.reloptions, (SELECT string_agg(regexp_replace(pg_get_indexdef(x.indexrelid),
                      'INDEX \\S+ ON \\S+', ''), ';' ORDER BY pg_get_indexdef(x.indexrelid))
                      FROM pg_index x WHERE x.indrelid = p.oid AND EXISTS (
                        SELECT 1 FROM pg_inherits h WHERE h.inhrelid = x.indexrelid)),
                    (SELECT string_agg(concat(a.attname, a.atttypid, a.attcollation, a.attnotnull), ';'
                             ORDER BY a.attname) FROM pg_attribute a
                      WHERE a.attrelid = p.oid AND a.attnum > 0 AND NOT a.attisdropped)) AS shape
        FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhrelid
       WHERE p.relkind = 'r'`);
    for (const table of TABLES) {
      const ofTable = shapes.filter(({ parent }) => parent === table);
      expect(ofTable.length).toBe(DAYS_AHEAD + 2);
      expect(new Set(ofTable.map(({ shape }) => shape)).size).toBe(1);
    }
  });

  it('are made once when several processes start together', async () => {
    const others = await Promise.all([1, 2, 3].map(() => another()));
    await Promise.all(others.map(({ service }) => service.prepare(Date.now())));
    expect((await log.partitions()).length).toBe((DAYS_AHEAD + 1) * TABLES.length);
    await Promise.all(others.map(({ dataSource }) => dataSource.destroy()));
  });
});

/** Another process on the same database. */
async function another(): Promise<{ dataSource: DataSource; service: RetentionService }> {
  const dataSource = await new DataSource({ ...rows.dataSource.options }).initialize();
  return { dataSource, service: retentionOf(new PostgresClient(dataSource), RETENTION_DAYS) };
}

describe('a day that is past the retention', () => {
  it('goes as a whole, with its dead letters; a younger one stays', async () => {
    await prepareOld();
    await prepareOld(RETENTION_DAYS - 1);
    const old = await log.event(OLD);
    for (const status of ['success', 'dead_letter', 'canceled']) await log.delivery(old, status);
    const young = await log.event(RETENTION_DAYS - 1);
    const delivery = await log.delivery(young, 'dead_letter');

    expect(await run()).toBe(true);
    expect(await log.ids()).toEqual({
      events: [young],
      deliveries: [delivery],
      attempts: [delivery],
    });
    for (const table of TABLES) {
      expect(await log.partitions(table)).not.toContain(partitionAt(table, OLD));
      expect(await log.partitions(table)).toContain(partitionAt(table, RETENTION_DAYS - 1));
    }
  });

  it('stays when only one of the two clocks says that it is past', async () => {
    await retention.prepare(Date.now());
    const event = await log.event(0);
    await retention.run(Date.now() + 365 * DAY_MS);
    expect((await log.ids()).events).toEqual([event]);
    await prepareOld();
    const old = await log.event(OLD);
    await retention.run(Date.now() - 365 * DAY_MS);
    expect((await log.ids()).events).toEqual([old, event]);
  });

  it('keeps what is still pending, which is delivered like everything else', async () => {
    await prepareOld();
    const [retrying, webhook] = [await log.event(OLD), newId('wh')];
    const due = [await log.delivery(retrying, 'retrying'), await log.delivery(retrying, 'pending')];
    const kept = [
      ...due,
      await log.delivery(retrying, 'delivering'),
      await log.delivery(await log.event(OLD), 'retrying', { deferred: true }),
      await log.delivery(await log.event(OLD), 'pending', { deferred: true }),
    ];
    await log.delivery(retrying, 'success');
    // Which webhooks have received it must be known when the others get it.
    const pending = await log.event(OLD, [webhook]);
    kept.push(await log.delivery(pending, 'success'));
    const gone = await log.event(OLD);

    await run();
    const { events, deliveries, attempts } = await log.ids();
    expect(deliveries).toEqual(kept.sort());
    expect(attempts).toEqual(kept);
    expect(events.length).toBe(4);
    expect(events).not.toContain(gone);
    expect(await log.partitions('deliveries_')).not.toContain(partitionAt('deliveries', OLD));

    const claimed = await new DueDeliveriesStore(rows.postgres).claim(10, 'p.1', LEASE_MS);
    expect(claimed.filter(({ body }) => body !== null).map(({ id }) => id)).toEqual(
      expect.arrayContaining(due),
    );
    const [event] = await new OutboxStore(rows.postgres).claimDue(10, 'p.1', LEASE_MS);
    expect(event).toMatchObject({
      id: pending,
      webhookIds: [webhook],
      body: `{"id":"${pending}"}`,
    });
  });

  it('keeps what a bulk operation has not worked off', async () => {
    await prepareOld();
    const event = await log.event(OLD);
    const delivery = await log.delivery(event, 'dead_letter');
    await log.delivery(await log.event(OLD), 'dead_letter');
    await rows.query(
      `INSERT INTO bulk_operation_slices (operation_id, webhook_id, number, event_ids)
       VALUES ('op_1', 'wh_1', 0, $1)`,
      [[event]],
    );
    await run();
    expect(await log.ids()).toEqual({
      events: [event],
      deliveries: [delivery],
      attempts: [delivery],
    });
    await rows.query('DELETE FROM bulk_operation_slices');
    await run();
    expect(await log.ids()).toEqual({ events: [], deliveries: [], attempts: [] });
  });

  it('is emptied row by row when too much of it is pending, and dropped when that is settled', async () => {
    await prepareOld();
    const event = await log.event(OLD);
    await log.manyDeliveries(event, 'pending', 10_001);
    await log.delivery(event, 'success');
    await log.event(OLD);

    await run();
    expect((await log.ids()).deliveries.length).toBe(10_001);
    expect(await log.ids()).toMatchObject({ events: [event], attempts: [] });
    expect(await log.partitions('deliveries_')).toContain(partitionAt('deliveries', OLD));

    await rows.query(`UPDATE deliveries SET status = 'success'`);
    await run();
    expect(await log.ids()).toEqual({ events: [], deliveries: [], attempts: [] });
    expect(await log.partitions('deliveries_')).not.toContain(partitionAt('deliveries', OLD));
  });

  it('goes after a crash between two of its tables', async () => {
    await prepareOld();
    const event = await log.event(OLD);
    const pending = await log.delivery(event, 'retrying');
    await log.delivery(await log.event(OLD), 'success');
    const [lock, partitions] = [new RetentionLock(rows.postgres), new LogPartitionsStore()];
    await lock.connected(async (session) => {
      const all = await partitions.list(session);
      const first = all.find(({ name }) => name === partitionAt('deliveries', OLD))!;
      expect(await partitions.drop(session, first)).toBe(1);
    });
    await run();
    expect(await log.ids()).toEqual({
      events: [event],
      deliveries: [pending],
      attempts: [pending],
    });
    expect(await log.partitions('events_')).not.toContain(partitionAt('events', OLD));
  });

  it('goes if it has no lower bound, too', async () => {
    await rows.query('CREATE TABLE events_first (LIKE events INCLUDING ALL)');
    const end = firstSuffixAt(Date.now() - (RETENTION_DAYS + 1) * DAY_MS);
    await rows.query(
      `ALTER TABLE events ATTACH PARTITION events_first FOR VALUES FROM (MINVALUE) TO ('evt_${end}')`,
    );
    const pending = await log.event(OLD, [newId('wh')]);
    await log.event(OLD);
    expect((await log.ids()).events.length).toBe(2);
    await run();
    expect((await log.ids()).events).toEqual([pending]);
    expect(await log.partitions('events_')).not.toContain('events_first');
  });
});

describe('what outlived its day', () => {
  it('goes once it is settled, with its event and attempts', async () => {
    await prepareOld();
    const event = await log.event(OLD);
    const delivery = await log.delivery(event, 'retrying');
    await run();
    expect((await log.ids()).deliveries).toEqual([delivery]);

    await rows.query(`UPDATE deliveries SET status = 'success', due_at = NULL`);
    await run();
    expect(await log.ids()).toEqual({ events: [], deliveries: [], attempts: [] });
  });

  it('stays whole if it is redriven at the very moment', async () => {
    // Before the redrive, whose lock would make the creation of partitions wait.
    await retention.prepare(Date.now());
    const event = await log.event(OLD);
    const delivery = await log.delivery(event, 'dead_letter');
    const redrive = rows.dataSource.createQueryRunner();
    await redrive.startTransaction();
    await redrive.query(`UPDATE deliveries SET status = 'pending', due_at = now()`);
    const running = run();
    await eventually(async () => {
      const waiting = await rows.query(
        `SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'
            AND datname = current_database() AND query LIKE '%DELETE FROM "deliveries_default"%'`,
      );
      expect(waiting.length).toBe(1);
    });
    await redrive.commitTransaction();
    await redrive.release();
    await running;
    expect(await log.ids()).toEqual({
      events: [event],
      deliveries: [delivery],
      attempts: [delivery],
    });
  });

  it('is found behind any number of rows that have to stay', async () => {
    const event = await log.event(OLD + 1);
    await log.manyDeliveries(event, 'pending', 2_500);
    await log.delivery(await log.event(OLD), 'success');
    await run();
    expect((await log.ids()).deliveries.length).toBe(2_500);
    expect((await log.ids()).events).toEqual([event]);
  });
});

describe('idempotency keys', () => {
  const remember = (key: string, ageHours: number) =>
    rows.query(
      `INSERT INTO idempotency_keys (owner_id, key, request_hash, event_ids, created_at)
       VALUES ('o', $1, 'h', '{}', now() - $2 * interval '1 hour')`,
      [key, ageHours],
    );

  it('are deleted when their time is over, and not before', async () => {
    await remember('young', IDEMPOTENCY_KEY_HOURS - 1);
    await remember('old', IDEMPOTENCY_KEY_HOURS + 1);
    await rows.query(`
      INSERT INTO idempotency_keys (owner_id, key, request_hash, event_ids, created_at)
      SELECT 'o', n::text, 'h', '{}', now() - interval '1 year' FROM generate_series(1, 2500) AS n`);
    await run();
    expect(await rows.query('SELECT key FROM idempotency_keys')).toEqual([{ key: 'young' }]);
  });
});

describe('the one node that runs retention', () => {
  it('is one, and another when it is gone', async () => {
    const { dataSource, service } = await another();
    const lock = new RetentionLock(rows.postgres);
    let release = () => undefined as void;
    let isLocked = false;
    const locked = lock.connected(async (session) => {
      isLocked = await lock.tryTake(session);
      await new Promise<void>((resolve) => (release = resolve));
      await session.query('SELECT 1');
    });
    locked.catch(() => undefined);
    await eventually(() => expect(isLocked).toBe(true));
    expect(await service.run(Date.now())).toBe(false);
    await rows.cut();
    release();
    await expect(locked).rejects.toThrow();
    expect(await service.run(Date.now())).toBe(true);
    await dataSource.destroy();
  });

  it('leaves a table that is read for long to the next round', async () => {
    await retention.prepare(Date.now());
    await prepareOld();
    await log.event(OLD);
    await rows.query(
      `INSERT INTO idempotency_keys (owner_id, key, request_hash, event_ids, created_at)
       VALUES ('o', 'k', 'h', '{}', now() - interval '1 year')`,
    );
    const backup = rows.dataSource.createQueryRunner();
    await backup.startTransaction();
    await backup.query('SELECT count(*) FROM deliveries');
    expect(await run()).toBe(true);
    expect(await log.partitions('deliveries_')).toContain(partitionAt('deliveries', OLD));
    expect(await rows.query('SELECT key FROM idempotency_keys')).toEqual([]);
    await backup.commitTransaction();
    await backup.release();
    await run();
    expect(await log.partitions('deliveries_')).not.toContain(partitionAt('deliveries', OLD));
  });
});

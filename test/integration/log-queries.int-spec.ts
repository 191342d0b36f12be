import { Logger } from '@nestjs/common';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresClient, type PreparedStatement } from '../../src/database/postgres.client.js';
import { PRODUCTION_TIMINGS } from '../../src/config/timings.js';
import type { DeliveryTask } from '../../src/delivery/sending/task.js';
import { DueDeliveriesStore } from '../../src/delivery/claims/due.store.js';
import { FINAL } from '../../src/delivery/sending/outcome.js';
import { OutcomeStore } from '../../src/delivery/sending/outcome.store.js';
import { LAST_ROWS, LogReaderStore } from '../../src/realtime/resume/log-reader.store.js';
import { DeliveryRows } from '../support/delivery-rows.js';
import { retentionOf } from '../support/retention-of.js';
import { LogRows } from '../support/log-rows.js';

Logger.overrideLogger(false);

const DAYS = 3;
const PER_DAY = 4_000;

let rows: DeliveryRows;
let statements: RecordedStatements;
/** A delivery of today that was sent before. */
let delivery: string;

/** What the stores send to PostgreSQL, word for word. */
class RecordedStatements extends PostgresClient {
  readonly seen: { text: string; values: unknown[] }[] = [];

  override run<Row extends pg.QueryResultRow>(
    statement: PreparedStatement,
    values: unknown[],
  ): Promise<Row[]> {
    this.seen.push({ text: statement.text, values });
    return super.run(statement, values);
  }
}

interface Plan {
  'Node Type': string;
  'Relation Name'?: string;
  'Actual Loops': number;
  'Actual Rows': number;
  'Rows Removed by Filter'?: number;
  Plans?: Plan[];
}

beforeAll(async () => {
  rows = await DeliveryRows.create();
  statements = new RecordedStatements(rows.dataSource);
  const log = new LogRows(rows);
  await retentionOf(rows.postgres).prepare(Date.now());
  for (let day = 0; day < DAYS; day++) {
    const event = await log.event(-day);
    await log.manyDeliveries(event, 'success', PER_DAY);
    await rows.query(
      `INSERT INTO events (id, type, body, priority)
       SELECT left($1, 14) || lpad(n::text, 16, '0'), 't', repeat('x', 200), 1
         FROM generate_series(1, $2) AS n`,
      [event, PER_DAY],
    );
    delivery = await log.delivery(await log.event(0), 'delivering');
  }
  await rows.query(`
    INSERT INTO delivery_attempts (delivery_id, started_at, number, duration_ms)
    SELECT id, now() - interval '1 s', 1, 1 FROM deliveries`);
  await rows.query(`UPDATE deliveries SET lease_token = 'w.1' WHERE id = $1`, [delivery]);
  // As autovacuum does it: the parts, and never the partitioned tables themselves.
  for (const table of await log.partitions()) await rows.query(`ANALYZE ${table}`);
});
afterAll(() => rows.drop());

/** The parts of the plan that read a table of the log, and were executed. */
async function readsOf(text: string, values: unknown[]): Promise<Plan[]> {
  const runner = rows.dataSource.createQueryRunner();
  await runner.startTransaction();
  const [row] = await runner.manager.query<{ 'QUERY PLAN': { Plan: Plan }[] }[]>(
    `EXPLAIN (ANALYZE, FORMAT JSON) ${text}`,
    values,
  );
  await runner.rollbackTransaction();
  await runner.release();
  return nodesOf(row!['QUERY PLAN'][0]!.Plan).filter(
    (node) => node['Relation Name'] !== undefined && node['Actual Loops'] > 0,
  );
}

const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];

const isOfLog = (plan: Plan) =>
  /^(deliveries|delivery_attempts|events)_/.test(plan['Relation Name']!);

/** Tables of the log that were read from their beginning to their end, and had something in them. */
const readWhole = (reads: Plan[]): string[] =>
  reads
    .filter((plan) => isOfLog(plan) && plan['Node Type'] === 'Seq Scan')
    .map((plan) => plan['Relation Name']!)
    .filter((name) => filled().some((full) => name.endsWith(full)));

/** Days that hold rows: an empty table is read whole, because that is the quickest way to know it. */
const filled = (): string[] =>
  Array.from({ length: DAYS }, (_, day) =>
    new Date(Date.now() + day * 86_400_000).toISOString().slice(0, 10).replaceAll('-', ''),
  );

const task = (): DeliveryTask => ({
  deliveryId: delivery,
  event: {
    id: 'evt_1',
    ownerId: null,
    type: 't',
    body: Buffer.from('{}'),
    priority: 1,
    expiresAtMs: undefined,
  },
  webhookId: 'wh_1',
  priority: 1,
  attempt: 3,
  budgetStart: 0,
  token: 'w.1',
  leaseEndsMs: 0,
  lostLeases: 0,
  pauseMs: 0,
  source: { kind: 'due' as const },
});

describe('with the log in partitions', () => {
  it('what is due is found by an index in each of them', async () => {
    await new DueDeliveriesStore(statements).claim(10, 'w.2', 1);
    const { text, values } = statements.seen.pop()!;
    expect(readWhole(await readsOf(text, values))).toEqual([]);
    await rows.query(`UPDATE deliveries SET lease_token = 'w.1' WHERE id = $1`, [delivery]);
  });

  it('an outcome touches the partition of its delivery, by the key', async () => {
    await new OutcomeStore(statements, PRODUCTION_TIMINGS).record({
      task: task(),
      status: 'success',
      next: FINAL,
      error: null,
      attempt: {
        startedAtMs: 1,
        durationMs: 1,
        statusCode: 200,
        error: null,
        responseBody: null,
        message: null,
        isResent: false,
      },
    });
    const { text, values } = statements.seen.pop()!;
    expect(text).toContain('UPDATE deliveries');
    expect(readWhole(await readsOf(text, values))).toEqual([]);
  });

  it('a delivery and its attempts are looked for in one partition', async () => {
    const reads = await readsOf(`SELECT * FROM delivery_attempts WHERE delivery_id = $1`, [
      delivery,
    ]);
    expect(reads.length).toBe(1);
    expect(readWhole(reads)).toEqual([]);
  });

  it("a webhook's deliveries come newest first from an index, without those of other webhooks", async () => {
    const reads = await readsOf(
      `SELECT * FROM deliveries d WHERE d.webhook_id = ANY ($1) ORDER BY d.id DESC LIMIT 51`,
      [['wh_7']],
    );
    expect(readWhole(reads)).toEqual([]);
  });

  it.each([null, 'acme'])(
    'the newest events of a topic come from an index (owner %s)',
    async (owner) => {
      const store = new LogReaderStore(statements);
      expect(await store.last(owner, { type: 't' }, 100)).toMatchObject({ truncated: false });
      const found = statements.seen.pop()!;
      const reads = await readsOf(found.text, found.values);
      expect(readWhole(reads)).toEqual([]);
      expect(Math.max(...reads.map((plan) => plan['Actual Rows']))).toBeLessThan(200);
    },
  );

  it.each([null, 'acme'])(
    'a topic without events costs a bounded search (owner %s)',
    async (owner) => {
      const store = new LogReaderStore(statements);
      const rare = { type: 't', subject: 'rare' };
      expect(await store.last(owner, rare, 1)).toEqual({ events: [], truncated: true });
      const { text, values } = statements.seen.pop()!;
      const reads = await readsOf(text, values);
      expect(readWhole(reads)).toEqual([]);
      const rowsRead = reads.filter(isOfLog).reduce((sum, plan) => {
        return sum + plan['Actual Rows'] + (plan['Rows Removed by Filter'] ?? 0);
      }, 0);
      expect(rowsRead).toBeLessThanOrEqual(2 * LAST_ROWS);
    },
  );

  it('and what has no index reads all days, as this would show', async () => {
    const reads = await readsOf(`SELECT count(*) FROM deliveries WHERE event_type = $1`, ['none']);
    expect(readWhole(reads).length).toBe(DAYS);
  });
});

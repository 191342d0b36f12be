import { Logger } from '@nestjs/common';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostgresClient, type PreparedStatement } from '../../src/database/postgres.client.js';
import { DeferredDeliveriesStore } from '../../src/delivery/deferred/deferred.store.js';
import { PRODUCTION_TIMINGS } from '../../src/config/timings.js';
import type { EventGroup } from '../../src/delivery/sending/task.js';
import { COUNT_INTERRUPTED } from '../../src/delivery/claims/interrupted.statements.js';
import { LEASED_DELIVERIES } from '../../src/delivery/leases/lease.statements.js';
import { AttemptMarksStore } from '../../src/delivery/sending/attempt-marks.store.js';
import { DueDeliveriesStore } from '../../src/delivery/claims/due.store.js';
import { ExpiredDeliveriesStore } from '../../src/delivery/claims/expired.store.js';
import { OutboxStore } from '../../src/delivery/claims/outbox.store.js';
import { FINAL, type Outcome } from '../../src/delivery/sending/outcome.js';
import { OutcomeStore } from '../../src/delivery/sending/outcome.store.js';
import { DeliveryRows } from '../support/delivery-rows.js';
import { retentionOf } from '../support/retention-of.js';
import { LogRows } from '../support/log-rows.js';

Logger.overrideLogger(false);

interface Plan {
  'Node Type': string;
  'Relation Name'?: string;
  'Index Cond'?: string;
  Plans?: Plan[];
}

/** How PostgreSQL would run each statement for any values, instead of running it. */
class ExplainedStatements extends PostgresClient {
  readonly plans: Plan[] = [];

  override run<Row extends pg.QueryResultRow>(
    { text }: PreparedStatement,
    values: unknown[],
  ): Promise<Row[]> {
    return this.dataSource.transaction(async (manager) => {
      await manager.query('SET LOCAL plan_cache_mode = force_generic_plan');
      await manager.query(`PREPARE probe AS ${text}`);
      const [row] = await manager.query<{ 'QUERY PLAN': { Plan: Plan }[] }[]>(
        `EXPLAIN (FORMAT JSON) EXECUTE probe(${values.map(() => 'NULL').join(', ')})`,
      );
      await manager.query('DEALLOCATE probe');
      this.plans.push(row!['QUERY PLAN'][0]!.Plan);
      // What those that count their rows look at.
      return [{ written: 1 } as unknown as Row];
    });
  }
}

const nodesOf = (plan: Plan): Plan[] => [plan, ...(plan.Plans ?? []).flatMap(nodesOf)];

const OF_ENGINE = /^(deliveries|delivery_attempts|events|event_outbox)/;

/** How the tables of the engine are read. */
function readsOf(plan: Plan): string[] {
  const nodes = nodesOf(plan);
  const reads = nodes.filter(
    (node) => node['Node Type'] !== 'ModifyTable' && OF_ENGINE.test(node['Relation Name'] ?? ''),
  );
  return reads.map((node) => {
    const how = node['Index Cond'] === undefined ? 'whole' : 'by index';
    return `${node['Node Type']} of ${node['Relation Name']!}, ${how}`;
  });
}

const group: EventGroup = {
  eventId: 'evt_1',
  token: 'w.1',
  eventType: 't',
  priority: 1,
  recorded: 0,
  total: 1,
};

const outcome = (of: EventGroup | undefined): Outcome => ({
  task: {
    deliveryId: 'dlv_1',
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
    attempt: 1,
    budgetStart: 0,
    token: 'w.1',
    leaseEndsMs: 0,
    lostLeases: 0,
    pauseMs: 0,
    source: of ? { kind: 'outbox', group: { ...of } } : { kind: 'due' },
  },
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

const pull = { webhookId: 'wh_1', token: 'w.1', leaseMs: 1, limit: 10 } as const;
const leased = [{ id: 'dlv_1', token: 'w.1' }];
const mark = { members: [outcome(group).task], startedAtMs: 1 };

/** What the engine says all day; each may send several statements. */
const SAID: [string, (client: PostgresClient) => Promise<unknown>][] = [
  ['takes deliveries that are due', (client) => new DueDeliveriesStore(client).claim(9, 't', 1)],
  [
    'counts interrupted attempts',
    (client) => client.run(COUNT_INTERRUPTED, LEASED_DELIVERIES.values(leased)),
  ],
  ['marks attempts', (client) => new AttemptMarksStore(client).write([mark])],
  [
    'splits an event into its deliveries',
    (client) => new OutboxStore(client).split([outcome(group).task], 't'),
  ],
  ['releases deliveries', (client) => new DueDeliveriesStore(client).release(leased)],
  ['takes events that are due', (client) => new OutboxStore(client).claimDue(9, 't', 1)],
  ['takes events by their ids', (client) => new OutboxStore(client).claim(['evt_1'], 't', 1)],
  ['releases events', (client) => new OutboxStore(client).release([group])],
  ['forgets events', (client) => new OutboxStore(client).forget(['evt_1'], 't')],
  [
    'writes first outcomes',
    (client) => new OutcomeStore(client, PRODUCTION_TIMINGS).record(outcome(group)),
  ],
  [
    'writes later outcomes',
    (client) => new OutcomeStore(client, PRODUCTION_TIMINGS).record(outcome(undefined)),
  ],
  ['ends what has expired', (client) => new ExpiredDeliveriesStore(client).end(9)],
  [
    'pulls the most urgent',
    (client) =>
      new DeferredDeliveriesStore(client).pull({ ...pull, selection: { kind: 'urgent', aged: 1 } }),
  ],
  [
    'pulls in order, under a webhook lease',
    (client) =>
      new DeferredDeliveriesStore(client).pull(
        { ...pull, selection: { kind: 'inOrder', upToEvent: 'evt_1' } },
        { holder: 'h', state: { usedAt: [] } as never },
      ),
  ],
  [
    'reads the heads of a backlog in order',
    (client) => new DeferredDeliveriesStore(client).headsInOrder('wh_1', 9),
  ],
  [
    'reads the heads of a backlog by priority',
    (client) => new DeferredDeliveriesStore(client).headsByPriority('wh_1', 9, 1, true),
  ],
  ['releases what was pulled', (client) => new DeferredDeliveriesStore(client).release(leased)],
];

let rows: DeliveryRows;
let tables: string[];
beforeAll(async () => {
  rows = await DeliveryRows.create();
  await retentionOf(rows.postgres).prepare(Date.now());
  tables = ['event_outbox', ...(await new LogRows(rows).partitions())];
});
afterAll(() => rows.drop());

/** The plans of what `use` sends. */
async function plansOf(use: (client: PostgresClient) => Promise<unknown>): Promise<Plan[]> {
  const statements = new ExplainedStatements(rows.dataSource);
  await use(statements);
  expect(statements.plans.length).toBeGreaterThan(0);
  return statements.plans;
}

/** Each of them is where a backlog begins, and a plan that was made then stays until the next analysis. */
describe.each<[string, () => Promise<void>]>([
  ['never analyzed', async () => {}],
  [
    'analyzed when they were empty',
    async () => {
      for (const table of tables) await rows.query(`VACUUM ANALYZE ${table}`);
    },
  ],
  [
    'analyzed with three rows',
    async () => {
      for (let count = 0; count < 3; count++) {
        const event = await rows.addPending(['wh_1']);
        await rows.query(
          `INSERT INTO deliveries (id, event_id, webhook_id, event_type, priority, status, attempts, due_at)
           VALUES (replace($1, 'evt', 'dlv'), $1, 'wh_1', 't', 1, 'retrying', 1, now())`,
          [event],
        );
      }
      for (const table of tables) await rows.query(`VACUUM ANALYZE ${table}`);
    },
  ],
])('on tables that were %s, the engine', (_, prepare) => {
  beforeAll(prepare);

  it.each(SAID)('%s by an index', async (_what, use) => {
    for (const plan of await plansOf(use)) {
      expect(readsOf(plan).filter((read) => !read.endsWith('by index'))).toEqual([]);
    }
  });

  it.each(SAID.slice(0, 1))('%s in the order of the index', async (_what, use) => {
    for (const plan of await plansOf(use)) {
      expect(nodesOf(plan).map((node) => node['Node Type'])).not.toContain('Sort');
    }
  });
});

describe('a statement that is estimated at millions of rows', () => {
  it('is not compiled', async () => {
    expect(await rows.query('SHOW jit')).toEqual([{ jit: 'off' }]);
  });
});

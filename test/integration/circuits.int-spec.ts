import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { type Circuit, CLOSED, type Phase } from '../../src/delivery/circuit/circuit.js';
import { CircuitStore, type StoredCircuit } from '../../src/delivery/circuit/circuit.store.js';
import { DeliveryRows } from '../support/delivery-rows.js';
import { eventually } from '../support/eventually.js';

let rows: DeliveryRows;
let store: CircuitStore;

beforeAll(async () => {
  rows = await DeliveryRows.create();
  store = new CircuitStore(rows.postgres);
});
beforeEach(() => rows.query('TRUNCATE webhook_circuits, webhooks CASCADE'));
afterAll(() => rows.drop());

const AT = Date.parse('2026-01-31T12:00:00.123Z');
const failing: Circuit = {
  ...CLOSED,
  failures: 2,
  failingSinceMs: AT,
  lastFailureMs: AT + 1,
  lastError: 'timeout',
  countsForAlert: true,
};
const open: Circuit = {
  ...failing,
  phase: { kind: 'open', sinceMs: AT + 2 },
  epoch: 1,
  openingNotified: true,
};
const probed: Circuit = {
  ...open,
  phase: { kind: 'half_open', sinceMs: AT + 3, probe: 'p.1', leaseMs: 500 },
};

const readOne = async (webhookId: string): Promise<StoredCircuit> =>
  (await store.read([webhookId])).circuits[0]!;

/** Writes on top of the present version. */
async function put(webhookId: string, after: Circuit): Promise<void> {
  const read = await readOne(webhookId);
  expect(await store.write([{ read, after }])).toEqual(new Set([webhookId]));
}

/** A registered webhook, with the columns that circuits need. */
async function webhook(): Promise<string> {
  const id = newId('wh');
  await rows.query(
    `INSERT INTO webhooks (id, url, events, sealed_secrets, active) VALUES ($1, '', '{}', '', true)`,
    [id],
  );
  return id;
}

describe('the stored circuits', () => {
  it('are healthy where there is no row', async () => {
    expect(await readOne('wh_1')).toEqual({ webhookId: 'wh_1', circuit: CLOSED, version: 0 });
  });

  it('are read as they were written, in each state', async () => {
    const requested = [open, probed].map((circuit) => ({
      ...circuit,
      phase: { ...circuit.phase, requestedProbe: 'dlv_1' } as Phase,
    }));
    for (const after of [failing, open, probed, ...requested, { ...CLOSED, epoch: 2 }]) {
      await put('wh_1', after);
      expect((await readOne('wh_1')).circuit).toEqual(after);
    }
    expect((await readOne('wh_1')).version).toBe(6);
  });

  it('keep the first of two writes on top of the same version', async () => {
    const [one, other] = [await readOne('wh_1'), await readOne('wh_1')];
    expect(await store.write([{ read: one, after: failing }])).toEqual(new Set(['wh_1']));
    expect(await store.write([{ read: other, after: open }])).toEqual(new Set());

    const [first, second] = [await readOne('wh_1'), await readOne('wh_1')];
    expect(await store.write([{ read: first, after: probed }])).toEqual(new Set(['wh_1']));
    expect(await store.write([{ read: second, after: open }])).toEqual(new Set());
    expect((await readOne('wh_1')).circuit).toEqual(probed);
  });

  it('are compared each by itself, also in one statement', async () => {
    await put('wh_1', failing);
    const { circuits } = await store.read(['wh_1', 'wh_2']);
    const changes = circuits.map((read) => ({ read, after: open }));
    await put('wh_1', probed);
    expect(await store.write(changes)).toEqual(new Set(['wh_2']));
  });
});

describe('the changes of circuits', () => {
  it('start with the unhealthy ones, of webhooks that are not deleted', async () => {
    const [unhealthy, healthy, deleted] = [await webhook(), await webhook(), await webhook()];
    await put(unhealthy, open);
    await put(healthy, CLOSED);
    await put(deleted, open);
    await rows.query(`UPDATE webhooks SET deleted_at = now() WHERE id = $1`, [deleted]);
    const { circuits } = await store.changes(undefined);
    expect(circuits.map(({ webhookId }) => webhookId)).toEqual([unhealthy]);
  });

  it('are those that were written since, and then none', async () => {
    const { horizon } = await store.changes(undefined);
    await put('wh_1', open);
    await put('wh_1', CLOSED);
    const next = await store.changes(horizon);
    expect(next.circuits).toMatchObject([{ webhookId: 'wh_1', circuit: CLOSED, version: 2 }]);
    let since = next.horizon;
    // Other transactions of the server keep the horizon back; until they end, rows are read again.
    await eventually(async () => {
      const { horizon: now, circuits } = await store.changes(since);
      since = now;
      expect(circuits).toEqual([]);
    });
  });

  it('miss no transaction that commits late', async () => {
    const slow = rows.dataSource.createQueryRunner();
    await slow.startTransaction();
    await slow.query(
      `INSERT INTO webhook_circuits
         (webhook_id, state, epoch, failures, counts_for_alert, opening_notified, version,
          revision)
       VALUES ('wh_late', 'open', 1, 5, true, true, 1, pg_current_xact_id()::text::bigint)`,
    );
    await put('wh_1', open);
    const before = await store.changes(undefined);
    const meanwhile = await store.changes(before.horizon);
    expect(meanwhile.circuits.map(({ webhookId }) => webhookId)).toEqual(['wh_1']);
    await slow.commitTransaction();
    await slow.release();
    const { circuits } = await store.changes(meanwhile.horizon);
    expect(circuits.map(({ webhookId }) => webhookId).sort()).toEqual(['wh_1', 'wh_late']);
  });
});

import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NodeRegistryStore } from '../../src/cluster/node-registry.store.js';
import { DeliveryRows } from '../support/delivery-rows.js';

const LEASE_MS = 60_000;

let rows: DeliveryRows;
let store: NodeRegistryStore;

beforeEach(async () => {
  rows = await DeliveryRows.create();
  store = new NodeRegistryStore(rows.postgres);
});
afterEach(() => rows.drop());

const endLease = (id: string) =>
  rows.query(`UPDATE nodes SET until = now() - interval '1 s' WHERE id = $1`, [id]);

const nodes = async () =>
  (await rows.query('SELECT id FROM nodes ORDER BY id')).map(({ id }) => id);

describe('the node registry', () => {
  it('counts the other nodes that are alive by role, and not those that have left', async () => {
    expect(await store.enter('a', LEASE_MS, ['api', 'worker'])).toEqual({});
    expect(await store.enter('b', LEASE_MS, ['worker'])).toEqual({ api: 1, worker: 1 });
    expect(await store.enter('c', LEASE_MS, [])).toEqual({ api: 1, worker: 2 });
    await endLease('b');
    expect(await store.renew('c', LEASE_MS)).toEqual({ api: 1, worker: 1 });
    await store.leave('a');
    expect(await store.renew('c', LEASE_MS)).toEqual({});
    expect(await nodes()).toEqual(['b', 'c']);
  });

  it('lets a node renew an entry late, unless another node has marked it as lost', async () => {
    await store.enter('a', LEASE_MS, []);
    await store.enter('b', LEASE_MS, []);
    await endLease('a');
    expect(await store.renew('a', LEASE_MS)).toEqual({});
    await endLease('a');
    await store.markLost('a');
    expect(await store.renew('a', LEASE_MS)).toEqual({});
    await endLease('a');
    await store.markLost('b');
    expect(await store.renew('a', LEASE_MS)).toBeUndefined();
    expect(await store.renew('b', LEASE_MS)).toEqual({});
  });

  it('keeps the entry of a node that leaves connections behind, for an hour or until they end', async () => {
    await store.enter('a', LEASE_MS, ['realtime']);
    await store.enter('b', LEASE_MS, []);
    await rows.query(
      `INSERT INTO realtime_connections (id, node_id, owner_id, transport, connected_at, is_announced)
       VALUES ($1, 'a', 'ann', 'websocket', now(), true)`,
      [`con_${randomUUID()}`],
    );
    await store.leave('a');
    expect(await store.renew('b', LEASE_MS)).toEqual({});
    await store.markLost('b');
    await rows.query(`UPDATE nodes SET until = now() - interval '61 minutes' WHERE id = 'a'`);
    await store.markLost('b');
    expect(await nodes()).toEqual(['a', 'b']);
    await rows.query('DELETE FROM realtime_connections');
    await store.markLost('b');
    expect(await nodes()).toEqual(['b']);
  });
});

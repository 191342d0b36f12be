import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NodeEvents } from '../../src/cluster/node-events.js';
import { NodeRegistry } from '../../src/cluster/node-registry.service.js';
import { NodeRegistryStore } from '../../src/cluster/node-registry.store.js';
import { NoRealtimeBus } from '../../src/cluster/realtime-bus.client.js';
import type { Config } from '../../src/config/env.js';
import { PRODUCTION_TIMINGS } from '../../src/config/timings.js';
import { DeliveryRows } from '../support/delivery-rows.js';

const LEASE_MS = 60_000;

let rows: DeliveryRows;
let store: NodeRegistryStore;
let registries: NodeRegistry[];

beforeEach(async () => {
  rows = await DeliveryRows.create();
  store = new NodeRegistryStore(rows.postgres);
  registries = [];
});
afterEach(async () => {
  await Promise.all(registries.map((registry) => registry.beforeApplicationShutdown()));
  await rows.drop();
});

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
      `INSERT INTO realtime_connections (id, node_id, owner_id, user_id, transport, connected_at, is_announced)
       VALUES ($1, 'a', 'ann', 'ann', 'websocket', now(), true)`,
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

describe(NodeRegistry, () => {
  const timings = { ...PRODUCTION_TIMINGS, nodeLeaseMs: 1_000, nodeRenewMs: 50 };

  async function start(): Promise<{ registry: NodeRegistry; events: NodeEvents }> {
    const events = new NodeEvents();
    const config = { roles: new Set(['worker']) } as unknown as Config;
    const registry = new NodeRegistry(config, timings, store, events, new NoRealtimeBus());
    await registry.onApplicationBootstrap();
    registries.push(registry);
    return { registry, events };
  }

  it('counts the nodes with a role, this one included', async () => {
    const { registry } = await start();
    expect(registry.aliveCount('worker')).toBe(1);
    const other = await start();
    expect(other.registry.aliveCount('worker')).toBe(2);
    expect(other.registry.aliveCount('api')).toBe(0);
    await expect.poll(() => registry.aliveCount('worker')).toBe(2);
    await other.registry.beforeApplicationShutdown();
    await expect.poll(() => registry.aliveCount('worker')).toBe(1);
  });

  it('registers again under another id when this node was marked as lost, and says so', async () => {
    const { registry, events } = await start();
    const { id } = registry;
    const reregistered = new Promise<void>((resolve) => {
      events.once('reregistered', resolve);
    });
    await rows.query('UPDATE nodes SET is_lost = true WHERE id = $1', [id]);
    await reregistered;
    expect(registry.id).not.toBe(id);
    expect(await nodes()).toContain(registry.id);
  });

  it('marks nodes as lost only after it was alive itself for a whole lease', async () => {
    await store.enter('dead', LEASE_MS, []);
    await endLease('dead');
    const startedAtMs = performance.now();
    await start();
    const isLost = async () =>
      (await rows.query(`SELECT is_lost FROM nodes WHERE id = 'dead'`)).map(
        ({ is_lost }) => is_lost,
      );
    await expect.poll(isLost, { timeout: 5_000 }).toEqual([true]);
    expect(performance.now() - startedAtMs).toBeGreaterThanOrEqual(900);
  });
});

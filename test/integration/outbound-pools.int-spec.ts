import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { compileAddressPolicy } from '../../src/outbound/address-policy.js';
import { GuardedConnector } from '../../src/outbound/guarded-connector.client.js';
import { OriginPools } from '../../src/outbound/origin-pools.client.js';

const MINUTE_MS = 60_000;
const ORIGIN = 'https://hook.example';

let pools: OriginPools;

beforeEach(() => {
  const connector = new GuardedConnector({
    policy: compileAddressPolicy([]),
    trustedOrigins: new Set(),
  });
  pools = new OriginPools(connector);
});

afterEach(() => pools.destroy());

describe(OriginPools.name, () => {
  it('gives everybody the same pool of an origin', () => {
    expect(pools.get(ORIGIN, 0)).toBe(pools.get(ORIGIN, MINUTE_MS));
    expect(pools.get(ORIGIN, 0)).not.toBe(pools.get(`${ORIGIN}:8443`, 0));
  });

  it('replaces a pool that is old, and lets its requests finish', () => {
    const old = pools.get(ORIGIN, 0);
    old.inFlight = 1;
    expect(pools.get(ORIGIN, 5 * MINUTE_MS)).not.toBe(old);
    expect(old.pool).toMatchObject({ closed: true, destroyed: false });
  });

  it('drops a pool that nobody uses, and no other', () => {
    const [unused, waiting, used] = ['a', 'b', 'c'].map((name) =>
      pools.get(`${ORIGIN}:${name.charCodeAt(0)}`, 0),
    );
    waiting!.inFlight = 1;
    used!.lastUsedMs = MINUTE_MS;
    pools.sweep(MINUTE_MS + 1);
    expect([unused, waiting, used].map((entry) => entry!.pool.destroyed)).toEqual([
      true,
      false,
      false,
    ]);
  });

  it('makes room for a new origin by dropping the one that is longest unused', () => {
    const entries = Array.from({ length: 2_000 }, (_, n) => pools.get(`${ORIGIN}:${n + 1}`, n));
    entries[0]!.inFlight = 1;
    pools.get(ORIGIN, 3_000);
    const dropped = entries.filter(({ pool }) => pool.destroyed);
    expect(dropped).toEqual([entries[1]]);
  });
});

import type { Timings } from '../../src/config/timings.js';

/**
 * What the applications of the tests run with, where it differs from production: short enough that
 * no test has to wait for a real lease, long enough for two busy cores.
 */
export const TEST_TIMINGS: Partial<Timings> = {
  nodeLeaseMs: 3_000,
  nodeRenewMs: 500,
  busHeartbeatMs: 200,
  busSilenceMs: 2_500,
  busCommandTimeoutMs: 1_000,
  busReconnectMaxMs: 200,
  storeCheckMs: 300,
  presenceRenewMs: 500,
  presenceInterestMs: 5_000,
  gapFillMs: 200,
};

import type { Timings } from '../../src/config/timings.js';

/**
 * What the applications of the tests run with, where it differs from production: short enough that
 * no test has to wait for a real lease, long enough for two busy cores.
 */
export const TEST_TIMINGS: Partial<Timings> = {
  apiKeyTrustMs: 300,
  expiryCheckMs: 50,
  apiKeyRecheckMs: 100,
  slowConsumerCheckMs: 50,
  stuckMs: 500,
  closeGraceMs: 200,
  reconnectWindowMs: 200,
};

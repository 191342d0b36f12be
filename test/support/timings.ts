import { PRODUCTION_TIMINGS, type Timings } from '../../src/config/timings.js';

/**
 * What the applications of the tests run with, where it differs from production: short enough that
 * no test has to wait for a real lease, long enough for two busy cores.
 */
export const TEST_TIMINGS: Partial<Timings> = {
  retentionRetryMs: 20,
  systemEventRetryMs: 100,
};

/** All of them, for tests that build parts of the product themselves. */
export const ALL_TEST_TIMINGS: Timings = { ...PRODUCTION_TIMINGS, ...TEST_TIMINGS };

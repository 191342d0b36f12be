import type { Timings } from '../../src/config/timings.js';

/**
 * What the applications of the tests run with, where it differs from production: short enough that
 * no test has to wait for a real lease, long enough for two busy cores.
 */
export const TEST_TIMINGS: Partial<Timings> = {
  notificationsReconnectMs: 100,
};

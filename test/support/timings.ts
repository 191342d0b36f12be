import type { Timings } from '../../src/config/timings.js';

/**
 * The timings of applications in tests that differ from production: short enough that no test waits
 * for a real lease, long enough for two busy cores.
 */
export const TEST_TIMINGS: Partial<Timings> = {};

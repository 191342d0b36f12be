/** All scenarios, in the order in which they run. */
import { backlog } from './scenarios/backlog.mjs';
import { batches } from './scenarios/batches.mjs';
import { failing } from './scenarios/failing.mjs';
import { growth } from './scenarios/growth.mjs';
import { memory } from './scenarios/memory.mjs';
import { slow } from './scenarios/slow.mjs';
import { twoProcesses } from './scenarios/two-processes.mjs';

/** Scenarios for any server; the raw client is measured in between. */
export const BASICS = ['raw', 'fanout10', 'fanout1', 'latency'];

/**
 * Scenarios for the product only: they need its processes and tables. The last one stops the process
 * that the others share.
 * @type {Record<string, (bench: import('./bench.mjs').Bench) => Promise<object | undefined>>}
 */
export const SCENARIOS = {
  batches,
  'two-processes': twoProcesses,
  failing,
  slow,
  memory,
  growth,
  backlog,
};

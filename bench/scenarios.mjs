/** What can be measured, in the order in which it is. */
import { backlog } from './scenarios/backlog.mjs';
import { batches } from './scenarios/batches.mjs';
import { failing } from './scenarios/failing.mjs';
import { growth } from './scenarios/growth.mjs';
import { memory } from './scenarios/memory.mjs';
import { slow } from './scenarios/slow.mjs';
import { twoProcesses } from './scenarios/two-processes.mjs';

/** What every server can be asked for; the client alone is measured in between. */
export const BASICS = ['raw', 'fanout10', 'fanout1', 'latency'];

/**
 * Only of the product: they need its processes and its tables. The last one ends the process that
 * the others share.
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

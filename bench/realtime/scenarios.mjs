/**
 * All scenarios. Each one starts what it needs, and returns figures with their goals. A busy machine
 * may miss a goal, so that is not a failure; a lost message is one.
 */
import { cost, crowded, saturated } from './scenarios/fan-out.mjs';
import { latency } from './scenarios/latency.mjs';
import { memory } from './scenarios/memory.mjs';
import { cuts, storm } from './scenarios/resuming.mjs';

/**
 * @typedef {(rig: import('./live-rig.mjs').LiveRig, options: import('./options.mjs').Options) =>
 *   Promise<import('./outcome.mjs').Outcome>} Scenario
 */

/** @type {Record<string, Scenario>} */
export const SCENARIOS = { cost, saturated, crowded, latency, memory, storm, cuts };

/**
 * What is measured. Each scenario starts what it needs, and gives figures with their goals: a machine
 * that does something else meanwhile misses them, so missing one is no failure. Losing a message is.
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

import { setTimeout as delay } from 'node:timers/promises';
import { AFTER_LEASE, type Endpoint, type Fault } from './fault.js';
import type { Random } from './random.js';

/** The budget of two faults at once: one recovery may delay the other. */
const TOGETHER_MS = 10_000;
const LONGEST_PAUSE_MS = 3_000;

const endpointsOf = (faults: readonly Fault[], prefix: string): Record<string, Partial<Endpoint>> =>
  Object.assign({}, ...faults.map((fault) => fault.endpoints?.(prefix) ?? {})) as Record<
    string,
    Partial<Endpoint>
  >;

/** Two faults at the same time. */
const both = (first: Fault, second: Fault): Fault => ({
  name: `${first.name} + ${second.name}`,
  target: first.target,
  budget: {
    firstSuccessMs: first.budget.firstSuccessMs + second.budget.firstSuccessMs,
    drainedMs: Math.max(first.budget.drainedMs, second.budget.drainedMs) + TOGETHER_MS,
  },
  endpoints: (prefix) => endpointsOf([first, second], prefix),
  async inflict(scene) {
    const crowded = { ...scene, isAlone: false };
    await Promise.all([first.inflict(crowded), second.inflict(crowded)]);
  },
});

/** A number of different pairs of faults with different targets. */
export function pairsOf(faults: readonly Fault[], count: number, random: Random): Fault[] {
  const pairs = faults.flatMap((first, index) =>
    faults
      .slice(index + 1)
      .filter((second) => second.target !== first.target)
      .map((second) => both(first, second)),
  );
  const chosen: Fault[] = [];
  while (chosen.length < count && pairs.length > 0) {
    chosen.push(...pairs.splice(random.between(0, pairs.length - 1), 1));
  }
  return chosen;
}

/** Random faults one after the other, for this time. */
export const randomWalk = (faults: readonly Fault[], lastsMs: number): Fault => ({
  name: `random walk of ${Math.round(lastsMs / 1000)} s`,
  target: 'processes',
  budget: { ...AFTER_LEASE, drainedMs: AFTER_LEASE.drainedMs + TOGETHER_MS },
  endpoints: (prefix) => endpointsOf(faults, prefix),
  async inflict(scene) {
    const until = performance.now() + lastsMs;
    const path: string[] = [];
    while (performance.now() < until) {
      const fault = scene.random.pick(faults);
      path.push(fault.name);
      try {
        await fault.inflict({ ...scene, isAlone: false });
      } catch (cause) {
        throw new Error(`at the end of: ${path.join(' -> ')}`, { cause });
      }
      await delay(scene.random.between(0, LONGEST_PAUSE_MS));
    }
  },
});

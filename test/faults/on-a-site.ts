import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import type { Fault } from './nemesis/fault.js';
import { Random } from './nemesis/random.js';
import { planOf } from './plan.js';
import { appendResult, resultOf } from './report/results.js';
import { Run } from './run.js';
import { type Shape, Site } from './site/site.js';

/** One cause breaks an invariant for many events. */
const SHOWN = 30;

export const plan = planOf(process.env, 0);

/** Those of the form that runs. */
export const chosen = (faults: readonly Fault[]): Fault[] =>
  faults.filter(({ isShort }) => plan.isFull || isShort);

/**
 * A test for each fault, on one site that the faults of a file share: it has to be whole again after
 * each. One that is not is replaced, so that a failure stays one failure.
 */
export function onASite(
  shape: Shape,
  faults: readonly Fault[],
  options: { dataDisk?: string } = {},
): void {
  const open = () => Site.open(shape, { directory: inject('faultDirectory'), ...options });
  let site: Site | undefined;
  let isWhole = false;
  beforeAll(async () => {
    site = await open();
    isWhole = true;
  });
  afterAll(() => site?.close());

  it.each(faults.map((fault) => [fault.name, fault] as const))('%s', async (name, fault) => {
    if (!isWhole) {
      await site?.close();
      site = await open();
    }
    isWhole = false;
    const verdict = await Run.of(fault, site!, new Random(seedFor(name)));
    appendResult(inject('faultDirectory'), resultOf(name, shape, verdict));
    expect(verdict.problems.slice(0, SHOWN).join('\n')).toBe('');
    isWhole = true;
  });
}

/** Each fault has its own chance, whichever others run. */
function seedFor(name: string): number {
  let seed = inject('faultSeed');
  for (const character of name) seed = (Math.imul(seed, 31) + character.codePointAt(0)!) >>> 0;
  return seed;
}

import { afterAll, beforeAll, expect, inject, it } from 'vitest';
import type { Fault } from './nemesis/fault.js';
import { Random } from './nemesis/random.js';
import { planOf } from './plan.js';
import { appendResult, resultOf } from './report/results.js';
import { type End, Run } from './run.js';
import { type Shape, Site } from './site/site.js';

/** How many problems a failure shows: one cause can break an invariant for many events. */
const SHOWN = 30;

/** For a fault and the recovery from it; a walk takes as long as it is given beside that. */
const FAULT_TIMEOUT_MS = 180_000;

export const plan = planOf(process.env, 0);

/** The faults of the form (short or full) that runs. */
export const chosen = (faults: readonly Fault[]): Fault[] =>
  faults.filter(({ isShort }) => plan.isFull || isShort);

/**
 * One test per fault, on one site that all faults of a file share: it must have recovered after each.
 * A site that has not is replaced, so that one failure does not cause others.
 */
export function onASite(
  shape: Shape,
  faults: readonly Fault[],
  { walkMs, ...options }: { dataDisk?: string; walkMs?: number } = {},
): void {
  const open = () => Site.open(shape, { directory: inject('faultDirectory'), ...options });
  let site: Site | undefined;
  let hasRecovered = false;
  beforeAll(async () => {
    site = await open();
    hasRecovered = true;
  });
  afterAll(() => site?.close());

  const timeoutMs = FAULT_TIMEOUT_MS + (walkMs ?? 0);
  it.each(faults.map((fault) => [fault.name, fault] as const))(
    '%s',
    { timeout: timeoutMs },
    async (name, fault) => {
      if (!hasRecovered) {
        await site?.close();
        site = await open();
      }
      hasRecovered = false;
      const verdict = await Run.of(fault, site!, new Random(seedFor(name)), endOf(fault, faults));
      appendResult(inject('faultDirectory'), resultOf(name, shape, verdict));
      expect(verdict.problems.slice(0, SHOWN).join('\n')).toBe('');
      hasRecovered = true;
    },
  );
}

/** In the short form they stop once, after all faults: a restart takes longer than many a fault. */
function endOf(fault: Fault, faults: readonly Fault[]): End {
  if (fault === faults.at(-1)) return 'stop';
  return plan.isFull ? 'restart' : 'go on';
}

/** Each fault has its own random numbers, independent of other faults. */
function seedFor(name: string): number {
  let seed = inject('faultSeed');
  for (const character of name) seed = (Math.imul(seed, 31) + character.codePointAt(0)!) >>> 0;
  return seed;
}

import { type Facts, isSuccess } from './facts.js';

export interface Recovery {
  /** From the end of the fault to the first request that was answered with 2xx; undefined: never. */
  firstSuccessMs: number | undefined;
  /** From the end of the fault until no earlier event was pending; undefined: never. */
  drainedMs: number | undefined;
}

/** How the product recovered from the last fault of a run; undefined if none ended. */
export function recoveryOf(facts: Facts): Recovery | undefined {
  const healedAt = facts.ledger.healed.at(-1)?.at;
  if (healedAt === undefined) return undefined;
  let first = Number.POSITIVE_INFINITY;
  for (const copies of facts.copies.values()) {
    for (const { received, status } of copies) {
      if (isSuccess(status) && received.at >= healedAt) first = Math.min(first, received.at);
    }
  }
  const restedAt = facts.ledger.rested.at(-1)?.at;
  return {
    firstSuccessMs: Number.isFinite(first) ? Math.round(first - healedAt) : undefined,
    drainedMs: restedAt === undefined ? undefined : Math.round(restedAt - healedAt),
  };
}

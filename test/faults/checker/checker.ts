import type { History } from '../ledger/records.js';
import {
  copiesAreExplainedAndEqual,
  everythingAcceptedArrives,
  nothingIsInvented,
} from './delivery-invariants.js';
import { type Facts, factsOf, isSuccess } from './facts.js';
import { orderIsKept, dispatchPolicyIsKept } from './dispatch-invariants.js';
import { type Recovery, recoveryOf } from './recovery.js';
import { siteIsAtRest } from './rest-invariants.js';
import { socketsMissNothing } from './socket-invariants.js';
import {
  everySignatureVerifies,
  historyIsTrue,
  nothingReachesAnotherOwner,
  processesStayHealthy,
  type RecoveryBudget,
  recoveryIsInTime,
} from './state-invariants.js';

/** The invariants by name; docs/reliability.md explains each in a sentence. */
const INVARIANTS: Record<string, (facts: Facts, budget: RecoveryBudget) => string[]> = {
  I1: everythingAcceptedArrives,
  I2: nothingIsInvented,
  I3: copiesAreExplainedAndEqual,
  I4: orderIsKept,
  I5: everySignatureVerifies,
  I6: nothingReachesAnotherOwner,
  I7: processesStayHealthy,
  I8: recoveryIsInTime,
  I9: historyIsTrue,
  I10: socketsMissNothing,
  I11: siteIsAtRest,
  I12: dispatchPolicyIsKept,
};

/** The result of a run. */
export interface Verdict {
  /** Each begins with the name of its invariant. */
  problems: string[];
  accepted: number;
  /** Deliveries of accepted events that neither arrived nor have a visible final state. */
  lost: number;
  /** Requests after the first one that a receiver answered with 2xx. */
  duplicates: number;
  recovery: Recovery | undefined;
}

/** Checks a history against every invariant. */
export function judge(history: History, budget: RecoveryBudget): Verdict {
  const facts = factsOf(history);
  const problems = Object.entries(INVARIANTS).flatMap(([name, holds]) =>
    holds(facts, budget).map((problem) => `${name}: ${problem}`),
  );
  return {
    problems,
    accepted: facts.accepted.size,
    lost: everythingAcceptedArrives(facts).length,
    duplicates: duplicatesIn(facts),
    recovery: recoveryOf(facts),
  };
}

function duplicatesIn(facts: Facts): number {
  let duplicates = 0;
  for (const copies of facts.copies.values()) {
    const first = copies.findIndex(({ status }) => isSuccess(status));
    if (first !== -1) duplicates += copies.length - first - 1;
  }
  return duplicates;
}

import type { Registered } from '../ledger/records.js';
import { disturbancesOf } from './delivery-invariants.js';
import { type Facts, isFailure, isSuccess } from './facts.js';

/** I11: at rest nothing is held, owed or away, and circuits say what receivers do. */
export function siteIsAtRest(facts: Facts): string[] {
  const { measured, registered } = facts.ledger;
  if (measured.length === 0) return ['nothing was measured at the end'];
  const gauges = measured
    .filter(({ value, expected }) => value !== expected)
    .map(({ gauge, value, expected }) => `${gauge} is ${value} instead of ${expected}`);
  const circuits = registered.flatMap((webhook) =>
    circuitProblems(facts, webhook).map((problem) => `${webhook.webhookId} ${problem}`),
  );
  return [...gauges, ...circuits];
}

function circuitProblems(facts: Facts, webhook: Registered): string[] {
  const { webhookId } = webhook;
  const stored = facts.dump.circuits.find((circuit) => circuit.webhookId === webhookId);
  const shown = facts.ledger.shown.find((one) => one.webhookId === webhookId);
  if (!shown) return ['was not looked at in the end'];
  const state = stored?.state ?? 'closed';
  const problems: string[] = [];
  if (!shown.active) problems.push('was switched off');
  if (shown.circuit !== state) problems.push(`is shown as ${shown.circuit}, and is ${state}`);
  if (stored?.isProbing || state === 'half_open') problems.push('has a probe out');
  const health = healthOf(facts, webhook);
  if (health === 'good' && state !== 'closed') problems.push(`is well, and its circuit ${state}`);
  if (health === 'bad' && state === 'closed') problems.push('is not, and its circuit closed');
  return problems;
}

/**
 * What a receiver is worth, by what it answered: good if it is known to be in the end or has never
 * failed, bad if it has failed for longer than is borne; else it may be seen either way.
 */
function healthOf(facts: Facts, { webhookId, isHealthy, opensAfter }: Registered): Health {
  const answers = facts.requests.filter(({ received }) => received.webhookId === webhookId);
  if (isHealthy || answers.every(({ status }) => isSuccess(status))) return 'good';
  const lastGood = answers.findLastIndex(({ status }) => !isFailure(status));
  const failures = answers.slice(lastGood + 1);
  // What a process has died with, nobody has counted.
  const counted = failures.filter((answer) => disturbancesOf(facts, [answer]) === 0);
  return counted.length >= opensAfter ? 'bad' : 'open to question';
}

type Health = 'good' | 'bad' | 'open to question';

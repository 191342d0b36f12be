import type { Registered } from '../ledger/records.js';
import { disturbancesOf } from './delivery-invariants.js';
import { type Facts, isFailure, isSuccess } from './facts.js';

/** I11: at rest nothing is leased or pending, all nodes are ready, circuits match their receivers. */
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
  if (!shown) return ['was not checked at the end'];
  const state = stored?.state ?? 'closed';
  const problems: string[] = [];
  if (!shown.active) problems.push('was switched off');
  if (shown.circuit !== state) problems.push(`is ${state}, but the API shows ${shown.circuit}`);
  if (stored?.isProbing || state === 'half_open') problems.push('has a probe in flight');
  const health = healthOf(facts, webhook);
  if (health === 'good' && state !== 'closed')
    problems.push(`has a healthy receiver, but its circuit is ${state}`);
  if (health === 'bad' && state === 'closed')
    problems.push('has a failing receiver, but its circuit is closed');
  return problems;
}

/**
 * The health of a receiver by its answers: good if it works at the end or has never failed, bad if it
 * has failed often enough to open its circuit; otherwise either state is accepted.
 */
function healthOf(facts: Facts, { webhookId, isHealthy, opensAfter }: Registered): Health {
  const answers = facts.requests.filter(({ received }) => received.webhookId === webhookId);
  if (isHealthy || answers.every(({ status }) => isSuccess(status))) return 'good';
  const lastGood = answers.findLastIndex(({ status }) => !isFailure(status));
  const failures = answers.slice(lastGood + 1);
  // A process that died may not have counted its last failures.
  const counted = failures.filter((answer) => disturbancesOf(facts, [answer]) === 0);
  return counted.length >= opensAfter ? 'bad' : 'unclear';
}

type Health = 'good' | 'bad' | 'unclear';

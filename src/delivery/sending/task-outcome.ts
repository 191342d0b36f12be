import type { DeliveryStatus } from '../../shared/delivery-status.js';
import type { AttemptResult } from '../../outbound/attempt-result.js';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import type { DeliveryTask } from './task.js';
import { type Decision, errorOf } from './decide.js';
import type { Outcome } from './outcome.js';

/** How a task becomes an outcome: with an attempt behind it, or without one being made. */

const canceled = (task: DeliveryTask): Outcome => ({
  task,
  status: 'canceled',
  dueInMs: null,
  error: 'webhook_deleted',
  attempt: null,
});

/** What becomes of a task that is not to be sent now; undefined: it is. */
export function unsentOutcome(
  task: DeliveryTask,
  webhook: RegisteredWebhook | undefined,
  nowMs: number,
): Outcome | undefined {
  const ended = { task, dueInMs: null, attempt: null };
  if (!webhook) return canceled(task);
  if (task.isPoison) return { ...ended, status: 'dead_letter', error: 'worker_crash' };
  if (task.event.expiresAtMs !== undefined && task.event.expiresAtMs <= nowMs) {
    return { ...ended, status: 'dead_letter', error: 'expired' };
  }
  if (webhook.active) return undefined;
  if (webhook.disabledReason !== null) {
    return { ...ended, status: 'dead_letter', error: webhook.disabledReason };
  }
  // Switched off by a person: it waits, without a due time, until it is switched on again.
  return deferredOutcome(task, 'webhook_inactive');
}

/** Kept as a row without a due time, until it is pulled for its webhook; it spends no attempt. */
export const deferredOutcome = (task: DeliveryTask, reason: string | null): Outcome => ({
  task,
  status: waitingStatus(task),
  dueInMs: null,
  error: reason,
  attempt: null,
});

const waitingStatus = (task: DeliveryTask): DeliveryStatus =>
  task.attempt - 1 > task.budgetStart ? 'retrying' : 'pending';

export function attemptedOutcome(
  task: DeliveryTask,
  result: AttemptResult,
  decision: Decision,
  startedAtMs: number,
): Outcome {
  const attempt = {
    startedAtMs,
    durationMs: result.durationMs,
    statusCode: result.kind === 'responded' ? result.statusCode : null,
    error: errorOf(result),
    responseBody: result.kind === 'responded' ? result.body : null,
  };
  switch (decision.kind) {
    case 'success':
      return { task, status: 'success', dueInMs: null, error: null, attempt };
    case 'retry':
      return {
        task,
        status: 'retrying',
        dueInMs: decision.delayMs,
        error: decision.error,
        attempt,
      };
    case 'dead':
      return { task, status: 'dead_letter', dueInMs: null, error: decision.error, attempt };
    case 'gone':
      return { task, status: 'dead_letter', dueInMs: null, error: 'gone', attempt };
  }
}

/** The same for a webhook with a lane: it stands in line until then, and is pulled when it may go. */
export const inQueue = (outcome: Outcome): Outcome =>
  outcome.dueInMs === null ? outcome : { ...outcome, dueInMs: null, deferForMs: outcome.dueInMs };

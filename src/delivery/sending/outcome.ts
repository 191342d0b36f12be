import { type AttemptResult, errorOf } from '../../outbound/attempt-result.js';
import type { DeliveryStatus } from '../../shared/delivery-status.js';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { askedPauseMs, type Throttle } from '../circuit/pause.js';
import { POISON_AFTER } from '../leases/lease.js';
import type { DeliveryTask } from './task.js';
import { delayBeforeAttemptMs, type RetryPolicy } from '../../shared/retry-policy.js';

/**
 * What the result of an attempt means for its delivery: the whole policy of retries and dead letters
 * in one total function.
 */
export type Decision =
  | { kind: 'success' }
  | { kind: 'retry'; delayMs: number; error: string }
  /** 429, and the receiver takes others: this one waits, and uses up no attempt. */
  | { kind: 'throttled'; delayMs: number }
  | { kind: 'dead'; error: string }
  /** 410: the receiver is gone for good, so its webhook is disabled too. */
  | { kind: 'gone' };

export interface DecisionInput {
  result: AttemptResult;
  /** Counted from 1 in the present budget; a redrive begins a new one. */
  attempt: number;
  /** Attempts before the present budget, with those that used up nothing of it. */
  budgetStart: number;
  policy: RetryPolicy;
  /** When the event's time to live ends; undefined: never. */
  expiresAtMs: number | undefined;
  nowMs: number;
  /** Uniform in [0, 1). */
  random: number;
  /** What is known of the receiver's rate, if it answered with 429. */
  throttle?: Throttle | undefined;
}

/**
 * Attempts that may have used up nothing of the budget. A receiver that answers one event with 429 for
 * ever, and accepts all others, would be paused by it again and again.
 */
const MAX_FREE_ATTEMPTS = 50;

export function decide(input: DecisionInput): Decision {
  const { result, attempt, budgetStart, policy, expiresAtMs, nowMs, random, throttle } = input;
  if (result.kind === 'responded') {
    if (result.statusCode >= 200 && result.statusCode < 300) return { kind: 'success' };
    if (result.statusCode === 410) return { kind: 'gone' };
  }
  const error = errorOf(result) ?? 'http';
  const pauseMs = Math.ceil(Math.max(askedPauseMs(result, nowMs) ?? 0, throttle?.pauseMs ?? 0));
  const isFree = throttle?.isAccepting === true && budgetStart < MAX_FREE_ATTEMPTS;
  const delayMs = isFree ? pauseMs : delayBeforeAttemptMs(policy, attempt + 1, random, pauseMs);
  if (delayMs === undefined) return { kind: 'dead', error };
  if (expiresAtMs !== undefined && nowMs + delayMs >= expiresAtMs) {
    return { kind: 'dead', error: 'expired' };
  }
  return isFree ? { kind: 'throttled', delayMs } : { kind: 'retry', delayMs, error };
}

/**
 * Errors of attempts that use up nothing of the budget: the receiver has refused one for its rate, or
 * the worker was lost during it.
 */
export const FREE_ATTEMPTS = ['throttled', 'interrupted'] as const;

/** The request that was made, for the history. */
export interface AttemptRecord {
  startedAtMs: number;
  durationMs: number;
  statusCode: number | null;
  error: string | null;
  /** What failed, in words; null: nothing, or only the status says so. */
  message: string | null;
  responseBody: string | null;
  /** Whether it was sent twice; see `Resent`. */
  isResent: boolean;
}

/** What comes next for a delivery; times count from now on the database's clock. */
export type NextStep =
  /** Nothing: its status is final. */
  | { readonly kind: 'final' }
  /** It is due in this time. */
  | { readonly kind: 'scheduled'; readonly inMs: number }
  /** It waits until its webhook can take it, at least for this time; null: from now on. */
  | { readonly kind: 'deferred'; readonly forMs: number | null };

/** What becomes of a task: the new state of its delivery, and the attempt if one was made. */
export interface Outcome {
  readonly task: DeliveryTask;
  readonly status: DeliveryStatus;
  readonly next: NextStep;
  /** Error class of the attempt, or why the delivery ended or waits without one; null: none. */
  readonly error: string | null;
  readonly attempt: AttemptRecord | null;
}

/** Shared by all outcomes, so that the usual one costs no object of its own. */
export const FINAL: NextStep = { kind: 'final' };
const DEFERRED: NextStep = { kind: 'deferred', forMs: null };

/** Attempts of the delivery so far, this outcome included. */
export const attemptsAfter = ({ task, attempt }: Outcome): number =>
  attempt ? task.attempt : task.attempt - 1;

/** Why a task is not sent, if that is so when it is about to be. */
export function unsentOutcome(
  task: DeliveryTask,
  webhook: RegisteredWebhook | undefined,
  nowMs: number,
): Outcome | undefined {
  if (!webhook) return unsent(task, 'canceled', 'webhook_deleted');
  if (task.lostLeases >= POISON_AFTER) return unsent(task, 'dead_letter', 'worker_crash');
  const { expiresAtMs } = task.event;
  if (expiresAtMs !== undefined && expiresAtMs <= nowMs) {
    return unsent(task, 'dead_letter', 'expired');
  }
  if (webhook.active) return task.pauseMs > 0 ? pausedOutcome(task, webhook) : undefined;
  if (webhook.disabledReason !== null) return unsent(task, 'dead_letter', webhook.disabledReason);
  // Switched off by its owner, or its secrets cannot be opened on this node: both can be repaired.
  return deferredOutcome(task, 'webhook_inactive');
}

const unsent = (task: DeliveryTask, status: DeliveryStatus, error: string): Outcome => ({
  task,
  status,
  next: FINAL,
  error,
  attempt: null,
});

/** It may have crashed its workers: it is sent again, but not now. */
const pausedOutcome = (task: DeliveryTask, webhook: RegisteredWebhook): Outcome => ({
  task,
  status: 'retrying',
  next: retryIn(task.pauseMs, webhook.needsExclusiveLease),
  error: 'interrupted',
  attempt: null,
});

/** A shutdown cuts off its attempt: the next worker makes another one, at once. */
export const interruptedOutcome = (
  task: DeliveryTask,
  startedAtMs: number,
  nowMs: number,
  isExclusive: boolean,
): Outcome => ({
  task,
  status: 'retrying',
  next: isExclusive ? DEFERRED : { kind: 'scheduled', inMs: 0 },
  error: 'interrupted',
  attempt: {
    startedAtMs,
    durationMs: Math.max(nowMs - startedAtMs, 0),
    statusCode: null,
    error: 'interrupted',
    message: null,
    responseBody: null,
    isResent: false,
  },
});

/** Becomes a deferred row, with no attempt spent. @param forMs the least time that it waits; 0: none */
export const deferredOutcome = (task: DeliveryTask, reason: string | null, forMs = 0): Outcome => ({
  task,
  status: task.attempt - 1 > task.budgetStart ? 'retrying' : 'pending',
  next: forMs === 0 ? DEFERRED : { kind: 'deferred', forMs },
  error: reason,
  attempt: null,
});

/** @param isExclusive its webhook is exclusive: a retry is deferred until its time, and then pulled */
export function attemptedOutcome(
  task: DeliveryTask,
  result: AttemptResult,
  decision: Decision,
  startedAtMs: number,
  isExclusive: boolean,
): Outcome {
  const attempt = {
    startedAtMs,
    durationMs: result.durationMs,
    statusCode: result.kind === 'responded' ? result.statusCode : null,
    error: errorOf(result),
    message: result.kind === 'failed' ? result.message : null,
    responseBody: result.kind === 'responded' ? result.body : null,
    isResent: result.isResent ?? false,
  };
  switch (decision.kind) {
    case 'success':
      return { task, status: 'success', next: FINAL, error: null, attempt };
    case 'retry': {
      const next = retryIn(decision.delayMs, isExclusive);
      return { task, status: 'retrying', next, error: decision.error, attempt };
    }
    case 'throttled': {
      const next = { kind: 'deferred', forMs: decision.delayMs } as const;
      return { task, status: 'retrying', next, error: 'throttled', attempt };
    }
    case 'dead':
      return { task, status: 'dead_letter', next: FINAL, error: decision.error, attempt };
    case 'gone':
      return { task, status: 'dead_letter', next: FINAL, error: 'gone', attempt };
  }
}

const retryIn = (delayMs: number, isExclusive: boolean): NextStep =>
  isExclusive ? { kind: 'deferred', forMs: delayMs } : { kind: 'scheduled', inMs: delayMs };

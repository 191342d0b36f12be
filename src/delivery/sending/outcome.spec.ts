import { describe, expect, it } from 'vitest';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { POISON_AFTER } from '../leases/lease.js';
import { attemptedOutcome, unsentOutcome } from './outcome.js';
import type { DeliveryTask } from './task.js';

const event = {
  id: 'evt_1',
  ownerId: null,
  type: 'a.b',
  body: Buffer.from('{}'),
  priority: 1,
  expiresAtMs: undefined,
};
const task: DeliveryTask = {
  deliveryId: 'dlv_1',
  event,
  webhookId: 'wh_1',
  priority: 1,
  attempt: 1,
  budgetStart: 0,
  token: 't.1',
  leaseEndsMs: 0,
  lostLeases: 0,
  pauseMs: 0,
  source: { kind: 'due' },
};
const webhook: RegisteredWebhook = {
  id: 'wh_1',
  ownerId: null,
  events: ['*'],
  target: { origin: 'https://example.com', path: '/' },
  signingKeys: [],
  headers: [],
  active: true,
  disabledReason: null,
  timeoutMs: 1_000,
  retryPolicy: { schedule: [] },
  rateLimit: null,
  maxConcurrency: null,
  ordering: 'none',
  batch: null,
  needsExclusiveLease: false,
};

describe('an outcome without an attempt', () => {
  it('is none for an active webhook', () => {
    expect(unsentOutcome(task, webhook, 0)).toBeUndefined();
  });

  it.each([
    ['canceled for a deleted webhook', task, undefined, 'canceled', 'webhook_deleted', 'final'],
    [
      'a dead letter for a poison delivery',
      { ...task, lostLeases: POISON_AFTER },
      webhook,
      'dead_letter',
      'worker_crash',
      'final',
    ],
    [
      'a dead letter for an event that has expired',
      { ...task, event: { ...event, expiresAtMs: 5 } },
      webhook,
      'dead_letter',
      'expired',
      'final',
    ],
    [
      'a dead letter for a webhook that is gone',
      task,
      { ...webhook, active: false, disabledReason: 'gone' },
      'dead_letter',
      'gone',
      'final',
    ],
    [
      'deferred for a webhook that its owner has switched off',
      task,
      { ...webhook, active: false },
      'pending',
      'webhook_inactive',
      'deferred',
    ],
    [
      'deferred as a retry after an earlier attempt',
      { ...task, attempt: 3 },
      { ...webhook, active: false },
      'retrying',
      'webhook_inactive',
      'deferred',
    ],
    [
      'deferred as pending after a redrive without an attempt',
      { ...task, attempt: 4, budgetStart: 3 },
      { ...webhook, active: false },
      'pending',
      'webhook_inactive',
      'deferred',
    ],
  ] as const)('is %s', (_, pending, to, status, error, next) => {
    const outcome = unsentOutcome(pending, to, 10);
    expect(outcome).toMatchObject({ status, error, attempt: null, next: { kind: next } });
  });
});

describe(attemptedOutcome.name, () => {
  const result = {
    kind: 'responded',
    statusCode: 503,
    durationMs: 7,
    body: 'busy',
    retryAfter: null,
  } as const;

  it('keeps what the receiver answered', () => {
    const decision = { kind: 'retry', delayMs: 50, error: 'http' } as const;
    expect(attemptedOutcome(task, result, decision, 99, false)).toEqual({
      task,
      status: 'retrying',
      next: { kind: 'scheduled', inMs: 50 },
      error: 'http',
      attempt: {
        startedAtMs: 99,
        durationMs: 7,
        statusCode: 503,
        error: 'http',
        message: null,
        responseBody: 'busy',
        isResent: false,
      },
    });
  });

  it('keeps that the request was sent twice', () => {
    const resent = { ...result, isResent: true } as const;
    const outcome = attemptedOutcome(task, resent, { kind: 'success' }, 0, false);
    expect(outcome.attempt?.isResent).toBe(true);
  });

  it.each([
    [{ kind: 'success' }, 'success', null],
    [{ kind: 'dead', error: 'timeout' }, 'dead_letter', 'timeout'],
    [{ kind: 'gone' }, 'dead_letter', 'gone'],
  ] as const)('ends after %j', (decision, status, error) => {
    const outcome = attemptedOutcome(task, result, decision, 0, false);
    expect(outcome).toMatchObject({ status, error, next: { kind: 'final' } });
  });

  it('defers a retry to an exclusive webhook, which has to pull it', () => {
    const decision = { kind: 'retry', delayMs: 50, error: 'http' } as const;
    const { next } = attemptedOutcome(task, result, decision, 0, true);
    expect(next).toEqual({ kind: 'deferred', forMs: 50 });
  });
});

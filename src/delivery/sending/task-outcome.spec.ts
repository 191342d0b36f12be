import { describe, expect, it } from 'vitest';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import type { DeliveryTask } from './task.js';
import { attemptedOutcome, unsentOutcome } from './task-outcome.js';

const event = {
  id: 'evt_1',
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
  isPoison: false,
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
    ['canceled for a deleted webhook', task, undefined, 'canceled', 'webhook_deleted'],
    [
      'a dead letter for one that workers have died of',
      { ...task, isPoison: true },
      webhook,
      'dead_letter',
      'worker_crash',
    ],
    [
      'a dead letter for an event that has expired',
      { ...task, event: { ...event, expiresAtMs: 5 } },
      webhook,
      'dead_letter',
      'expired',
    ],
    [
      'a dead letter for a webhook that is gone',
      task,
      { ...webhook, active: false, disabledReason: 'gone' },
      'dead_letter',
      'gone',
    ],
    [
      'waiting for a webhook that a person switched off',
      task,
      { ...webhook, active: false },
      'pending',
      'webhook_inactive',
    ],
    [
      'waiting as a retry if it was tried before',
      { ...task, attempt: 3 },
      { ...webhook, active: false },
      'retrying',
      'webhook_inactive',
    ],
    [
      'pending again after a redrive that was not tried yet',
      { ...task, attempt: 4, budgetStart: 3 },
      { ...webhook, active: false },
      'pending',
      'webhook_inactive',
    ],
  ] as const)('is %s', (_, owed, to, status, error) => {
    const outcome = unsentOutcome(owed, to, 10);
    expect(outcome).toMatchObject({ status, error, attempt: null, dueInMs: null });
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
    expect(attemptedOutcome(task, result, decision, 99)).toEqual({
      task,
      status: 'retrying',
      dueInMs: 50,
      error: 'http',
      attempt: {
        startedAtMs: 99,
        durationMs: 7,
        statusCode: 503,
        error: 'http',
        responseBody: 'busy',
      },
    });
  });

  it.each([
    [{ kind: 'success' }, 'success', null],
    [{ kind: 'dead', error: 'timeout' }, 'dead_letter', 'timeout'],
    [{ kind: 'gone' }, 'dead_letter', 'gone'],
  ] as const)('ends after %j', (decision, status, error) => {
    const outcome = attemptedOutcome(task, result, decision, 0);
    expect(outcome).toMatchObject({ status, error, dueInMs: null });
  });
});

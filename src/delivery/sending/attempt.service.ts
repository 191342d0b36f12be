import { Injectable, Logger } from '@nestjs/common';
import { Clock } from '../../database/clock.service.js';
import { isSystemEventType } from '../../shared/event-pattern.js';
import { type AttemptResult, errorOf, type Unsent } from '../../outbound/attempt-result.js';
import { OutboundHttpClient, type OutboundRequest } from '../../outbound/outbound-http.client.js';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import { circuitResultOf } from '../circuit/circuit.js';
import type { CircuitPermit } from '../circuit/circuit-view.js';
import { Circuits } from '../circuit/circuits.service.js';
import { WebhookDisabler } from '../circuit/webhook-disabler.service.js';
import {
  attemptedOutcome,
  decide,
  type Decision,
  type DecisionInput,
  type Outcome,
} from './outcome.js';
import { batchAttemptOf, batchOf, type DeliveryTask } from './task.js';
import { batchRequest, webhookRequest } from './webhook-request.js';

/** One request, and the deliveries that it is for. */
export interface Attempt {
  task: DeliveryTask;
  /** The deliveries that are sent; at least one. */
  members: readonly DeliveryTask[];
  /** As it was when the attempt began. */
  webhook: RegisteredWebhook;
  permit: CircuitPermit;
  startedAtMs: number;
  /** Whether it is marked in the store as in flight. */
  isMarked: boolean;
}

/** Sends requests, and decides what their results mean for deliveries, webhook and circuit. */
@Injectable()
export class AttemptService {
  private readonly logger = new Logger(AttemptService.name);

  constructor(
    private readonly webhooks: WebhookCache,
    private readonly circuits: Circuits,
    private readonly disabler: WebhookDisabler,
    private readonly outbound: OutboundHttpClient,
    private readonly clock: Clock,
  ) {}

  /** Resolves for each answer and each failure of the receiver, and when no request was made. */
  send(attempt: Attempt): Promise<AttemptResult | Unsent> {
    return this.outbound.post(requestOf(attempt));
  }

  /** Applies the result to circuit and webhook. @returns one outcome for each delivery of the attempt */
  conclude(attempt: Attempt, result: AttemptResult): Outcome[] {
    const { members, webhook, permit } = attempt;
    const isSystemEvent = members.every(({ event }) => isSystemEventType(event.type));
    this.circuits.observe(webhook.id, permit, result, isSystemEvent);
    // The same for all, so that the deliveries of a batch that failed are due together.
    const random = Math.random();
    const isExclusive = this.webhooks.get(webhook.id)?.needsExclusiveLease ?? false;
    const isRefusedForRate = circuitResultOf(result) === 'throttled';
    const throttle = isRefusedForRate ? this.circuits.throttleOf(webhook.id) : undefined;
    return members.map((task) => {
      const decision = this.decide(task, attempt, result, { random, throttle });
      return attemptedOutcome(task, result, decision, attempt.startedAtMs, isExclusive);
    });
  }

  private decide(
    task: DeliveryTask,
    { webhook }: Attempt,
    result: AttemptResult,
    shared: Pick<DecisionInput, 'random' | 'throttle'>,
  ): Decision {
    const decision = decide({
      result,
      attempt: task.attempt - task.budgetStart,
      budgetStart: task.budgetStart,
      policy: webhook.retryPolicy,
      expiresAtMs: task.event.expiresAtMs,
      nowMs: this.clock.nowMs(),
      ...shared,
    });
    if (decision.kind === 'gone') this.disabler.disable(webhook.id, 'gone');
    if (decision.kind !== 'success') this.log(task, result, decision);
    return decision;
  }

  private log(task: DeliveryTask, result: AttemptResult, decision: Decision): void {
    const isRepeated = decision.kind === 'retry' || decision.kind === 'throttled';
    const line = {
      message: isRepeated ? 'delivery.failed' : 'delivery.dead_lettered',
      deliveryId: task.deliveryId,
      eventId: task.event.id,
      webhookId: task.webhookId,
      attempt: task.attempt,
      statusCode: result.kind === 'responded' ? result.statusCode : undefined,
      error: errorOf(result),
      reason: result.kind === 'failed' ? result.message : undefined,
      // For operators only: it may name an address that the owner of the webhook must not learn.
      detail: result.kind === 'failed' ? result.detail : undefined,
      durationMs: Math.round(result.durationMs),
      retryInMs: isRepeated ? decision.delayMs : undefined,
    };
    if (isRepeated) this.logger.debug(line);
    else this.logger.warn(line);
  }
}

function requestOf({ task, members, webhook, startedAtMs }: Attempt): OutboundRequest {
  const { event, deliveryId, attempt } = members[0]!;
  const batch = batchOf(task);
  if (batch) {
    const events = members.map((member) => member.event);
    // Of one that is sent: the first of the batch may have ended, and had other attempts before.
    const batchAttempt = { batchId: batch.id, events, attempt: batchAttemptOf(members[0]!) };
    return batchRequest(batchAttempt, webhook, startedAtMs);
  }
  return webhookRequest({ event, deliveryId, attempt }, webhook, startedAtMs);
}

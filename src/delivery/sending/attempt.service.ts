import { Injectable, Logger } from '@nestjs/common';
import { Clock } from '../../database/clock.service.js';
import { isSystemEventType } from '../../shared/event-pattern.js';
import { type AttemptResult, errorOf } from '../../outbound/attempt-result.js';
import { OutboundHttpClient, type OutboundRequest } from '../../outbound/outbound-http.client.js';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import type { CircuitPermit } from '../circuit/circuit-view.js';
import { Circuits } from '../circuit/circuits.service.js';
import { WebhookDisabler } from '../circuit/webhook-disabler.service.js';
import { decide, type Decision, attemptedOutcome, type Outcome } from './outcome.js';
import { batchOf, type DeliveryTask } from './task.js';
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

  /** Resolves for each answer and each failure of the receiver. */
  send(attempt: Attempt): Promise<AttemptResult> {
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
    return members.map((task) => {
      const decision = this.decide(task, attempt, result, random);
      return attemptedOutcome(task, result, decision, attempt.startedAtMs, isExclusive);
    });
  }

  private decide(
    task: DeliveryTask,
    { webhook }: Attempt,
    result: AttemptResult,
    random: number,
  ): Decision {
    const decision = decide({
      result,
      attempt: task.attempt - task.budgetStart,
      policy: webhook.retryPolicy,
      expiresAtMs: task.event.expiresAtMs,
      nowMs: this.clock.nowMs(),
      random,
    });
    if (decision.kind === 'gone') this.disabler.disable(webhook.id, 'gone');
    if (decision.kind !== 'success') this.log(task, result, decision);
    return decision;
  }

  private log(task: DeliveryTask, result: AttemptResult, decision: Decision): void {
    const line = {
      message: decision.kind === 'retry' ? 'delivery.failed' : 'delivery.dead_lettered',
      deliveryId: task.deliveryId,
      eventId: task.event.id,
      webhookId: task.webhookId,
      attempt: task.attempt,
      statusCode: result.kind === 'responded' ? result.statusCode : undefined,
      error: errorOf(result),
      durationMs: Math.round(result.durationMs),
      retryInMs: decision.kind === 'retry' ? decision.delayMs : undefined,
    };
    if (decision.kind === 'retry') this.logger.debug(line);
    else this.logger.warn(line);
  }
}

function requestOf({ task, members, webhook, startedAtMs }: Attempt): OutboundRequest {
  const { event, deliveryId, attempt } = members[0]!;
  const batch = batchOf(task);
  if (batch) {
    const bodies = members.map((member) => member.event.body);
    return batchRequest({ batchId: batch.id, bodies, attempt }, webhook, startedAtMs);
  }
  const { id: eventId, type: eventType, body } = event;
  return webhookRequest({ eventId, eventType, body, deliveryId, attempt }, webhook, startedAtMs);
}

import { Injectable, Logger } from '@nestjs/common';
import { isSystemEventType } from '../../shared/system-event-types.js';
import type { AttemptResult } from '../../outbound/attempt-result.js';
import { OutboundHttpClient, type OutboundRequest } from '../../outbound/outbound-http.client.js';
import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { WebhookCache } from '../../webhooks/webhook-cache.service.js';
import type { CircuitPermit } from '../circuit/circuit-view.js';
import { WebhookDisabler } from '../circuit/webhook-disabler.service.js';
import { batchOf, type DeliveryTask } from './task.js';
import { batchRequest, webhookRequest } from './webhook-request.js';
import { Circuits } from '../circuit/circuits.service.js';
import { decide, type Decision, errorOf } from './decide.js';
import type { Outcome } from './outcome.js';
import { attemptedOutcome, inQueue } from './task-outcome.js';

/** One request, and the deliveries that it is for. */
export interface Attempt {
  task: DeliveryTask;
  /** Those of its deliveries that are sent; at least one. */
  members: readonly DeliveryTask[];
  /** As it was when the attempt began. */
  webhook: RegisteredWebhook;
  permit: CircuitPermit;
  startedAtMs: number;
}

/** Sends the requests, and says what their results mean for deliveries, webhook and circuit. */
@Injectable()
export class AttemptService {
  private readonly logger = new Logger(AttemptService.name);

  constructor(
    private readonly registry: WebhookCache,
    private readonly circuits: Circuits,
    private readonly webhookSwitch: WebhookDisabler,
    private readonly outbound: OutboundHttpClient,
  ) {}

  /** Resolves for every answer and every failure of the receiver. */
  send(attempt: Attempt): Promise<AttemptResult> {
    return this.outbound.post(requestOf(attempt));
  }

  /** Takes in the result. @returns one outcome for each delivery of the attempt */
  conclude(attempt: Attempt, result: AttemptResult): Outcome[] {
    const { members, webhook, permit } = attempt;
    const isAboutUs = members.every(({ event }) => isSystemEventType(event.type));
    this.circuits.observe(webhook.id, permit, result, isAboutUs);
    // The same for all, so that what failed together is due together.
    const random = Math.random();
    const isLaned = this.registry.get(webhook.id)?.needsExclusiveLease;
    return members.map((task) => {
      const outcome = this.outcomeOf(task, attempt, result, random);
      return isLaned ? inQueue(outcome) : outcome;
    });
  }

  private outcomeOf(
    task: DeliveryTask,
    { webhook, startedAtMs }: Attempt,
    result: AttemptResult,
    random: number,
  ): Outcome {
    const decision = decide({
      result,
      attempt: task.attempt - task.budgetStart,
      policy: webhook.retryPolicy,
      expiresAtMs: task.event.expiresAtMs,
      nowMs: Date.now(),
      random,
    });
    if (decision.kind === 'gone') this.webhookSwitch.disable(webhook.id, 'gone');
    if (decision.kind !== 'success') this.log(task, result, decision);
    return attemptedOutcome(task, result, decision, startedAtMs);
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

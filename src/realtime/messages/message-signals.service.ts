import { performance } from 'node:perf_hooks';
import { Injectable } from '@nestjs/common';
import { jsonProblem } from '../../shared/json-values.js';
import { OPERATOR } from '../../system-events/system-event.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { OwnerRateLimiter } from '../connections/owner-rate-limiter.js';
import type { PostedMessage, Recipients } from './posted-message.js';

/** Of each owner, per process: messages are cheap, and events are kept. */
const SIGNALS_PER_SECOND = 10;
const SIGNAL_BURST = 100;

/** A larger message is not repeated in the event about it. */
const MAX_CONTENT_LENGTH = 4_096;

/**
 * Tells about broadcasts with ordinary events, `message-broadcast`, which webhooks can hear. Of an
 * owner who sends very many, only some are told about.
 */
@Injectable()
export class MessageNotifier {
  private readonly budgets = new OwnerRateLimiter(SIGNALS_PER_SECOND, SIGNAL_BURST);

  constructor(private readonly systemEvents: SystemEvents) {}

  /** Whoever could hear the broadcast may hear the event. */
  broadcast({ to, message: { kind, from, message, timestamp }, isText }: PostedMessage): void {
    if (!this.budgets.take(from.userId, performance.now())) return;
    const length = JSON.stringify(message).length;
    const isRepeated = length <= MAX_CONTENT_LENGTH && jsonProblem(message) === undefined;
    this.systemEvents.emit({
      type: 'message-broadcast',
      ownerId: audienceOf(to),
      data: {
        kind: isText ? 'text' : kind,
        from: { userId: from.userId, connectionId: from.connectionId ?? null },
        to: addressOf(to),
        sentAt: timestamp,
        length,
        ...(isRepeated && { message }),
      },
    });
  }
}

/** Null: everybody. */
function audienceOf(to: Recipients): string | null {
  if (to.who === 'everybody') return null;
  return to.who === 'connection' ? OPERATOR : (to.ownerId ?? OPERATOR);
}

/** Without members that are there and say nothing. */
const addressOf = (to: Recipients): unknown => JSON.parse(JSON.stringify(to));

import { performance } from 'node:perf_hooks';
import { Injectable } from '@nestjs/common';
import { type Principal, shareOf } from '../../auth/principal.js';
import { OPERATOR } from '../../shared/visibility.js';
import { jsonProblem } from '../../shared/json-values.js';
import { SystemEvents } from '../../system-events/system-events.service.js';
import { OwnerRateLimiter } from '../connections/rate-limit.js';
import type { PostedMessage, Recipients } from './posted-message.js';

/** Of each owner, per node: messages are cheap, and events are stored. */
const EVENTS_PER_SECOND = 10;
const EVENT_BURST = 100;

/** A larger message is not repeated in the event about it. */
const MAX_CONTENT_LENGTH = 4_096;

/**
 * Publishes a system event, `message-broadcast`, for each broadcast, which webhooks can receive. For an
 * owner who sends very many, only some are published.
 */
@Injectable()
export class MessageNotifier {
  private readonly limiter = new OwnerRateLimiter(EVENTS_PER_SECOND, EVENT_BURST);

  constructor(private readonly systemEvents: SystemEvents) {}

  /** The event has the audience of the broadcast. */
  broadcast(sender: Principal, { to, message: posted, isText }: PostedMessage): void {
    if (!this.limiter.take(shareOf(sender), performance.now())) return;
    const { kind, from, message, timestamp } = posted;
    const length = lengthOf(message);
    const isRepeated = length <= MAX_CONTENT_LENGTH && jsonProblem(message) === undefined;
    this.systemEvents.emit({
      type: 'message-broadcast',
      ownerId: ownerOf(to),
      data: {
        kind: isText ? 'text' : kind,
        from: { ...from, connectionId: from.connectionId ?? null },
        to: addressOf(to),
        sentAt: timestamp,
        length,
        ...(isRepeated && { message }),
      },
    });
  }
}

/** Of text its characters, of anything else those of its JSON. */
const lengthOf = (message: unknown): number =>
  typeof message === 'string' ? Array.from(message).length : JSON.stringify(message).length;

/** Null: the event is public. */
function ownerOf(to: Recipients): string | null {
  if (to.who === 'everybody') return null;
  return to.who === 'owner' || to.who === 'topic' ? (to.ownerId ?? OPERATOR) : OPERATOR;
}

/** Without the members that are undefined. */
const addressOf = (to: Recipients): unknown => JSON.parse(JSON.stringify(to));

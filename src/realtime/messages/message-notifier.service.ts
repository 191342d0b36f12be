import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import { performance } from 'node:perf_hooks';
import { Injectable, Logger, type OnModuleDestroy } from '@nestjs/common';
import { type Principal, shareOf } from '../../auth/principal.js';
import { isOutage } from '../../database/sql-errors.js';
import { OPERATOR } from '../../shared/visibility.js';
import { jsonProblem } from '../../shared/json-values.js';
import { logFailure } from '../../shared/log-failure.js';
import { retryUntilDone } from '../../shared/retry.timer.js';
import { type SystemEvent, SystemEvents } from '../../system-events/system-events.service.js';
import { OwnerRateLimiter } from '../connections/rate-limit.js';
import { type RealtimeTotals, RealtimeTotalsStore } from '../lifecycle/realtime-totals.store.js';
import type { PostedMessage, Recipients } from './posted-message.js';

/** Of each owner and kind of message, per node: messages are cheap, and events are stored. */
const EVENTS_PER_SECOND = 10;
const EVENT_BURST = 100;

/** A larger message is not repeated in the event about it. */
const MAX_CONTENT_LENGTH = 4_096;

/** Messages within this time are counted together. */
const COLLECT_MS = 50;
const RETRY_MS = 1_000;
/** Events that wait to be published; further ones are dropped, which is logged. */
const MAX_WAITING = 10_000;

/** An event without its totals. */
interface Waiting {
  event: SystemEvent;
  /** Whose totals it has; undefined: it is for others, too, and has none. */
  ownerId: string | undefined;
  /** The number of its message among those of the owner that are counted together. */
  place: number;
}

/**
 * Counts messages, and publishes a system event, `message-broadcast`, for each that is for more than one:
 * webhooks can receive it. For an owner who sends very many, only some are published. No message waits
 * for that.
 */
@Injectable()
export class MessageNotifier implements OnModuleDestroy {
  private readonly logger = new Logger(MessageNotifier.name);
  /** Apart, so that chats do not use up what is meant for broadcasts. */
  private readonly limiters = {
    broadcast: new OwnerRateLimiter(EVENTS_PER_SECOND, EVENT_BURST),
    chat: new OwnerRateLimiter(EVENTS_PER_SECOND, EVENT_BURST),
  };
  private counts = new Map<string, number>();
  private waiting: Waiting[] = [];
  private dropped = 0;
  private writing: Promise<void> | undefined;
  private isClosing = false;

  constructor(
    private readonly systemEvents: SystemEvents,
    private readonly totals: RealtimeTotalsStore,
  ) {}

  /** Publishes what waits, while there are still stores. */
  async onModuleDestroy(): Promise<void> {
    this.isClosing = true;
    await this.writing;
  }

  /** The event has the audience of the message; a private one has none. */
  posted(sender: Principal, posted: PostedMessage): void {
    const { to, message } = posted;
    const countedFor = namedOwner(to) ?? sender.ownerId;
    const place = (this.counts.get(countedFor) ?? 0) + 1;
    this.counts.set(countedFor, place);
    const { kind } = message;
    if (kind !== 'private' && this.limiters[kind].take(shareOf(sender), performance.now())) {
      if (this.waiting.length >= MAX_WAITING) this.dropped++;
      else this.waiting.push({ event: eventOf(posted), ownerId: namedOwner(to), place });
    }
    this.writing ??= this.write();
  }

  private async write(): Promise<void> {
    while (this.counts.size > 0) {
      await (this.isClosing ? turn() : delay(COLLECT_MS, undefined, { ref: false }));
      const { counts } = this;
      this.counts = new Map();
      const waiting = this.waiting.splice(0);
      const totals = await this.counted(counts);
      for (const each of waiting) this.systemEvents.emit(withTotals(each, counts, totals));
      if (this.dropped > 0) this.logger.error(`${this.dropped} events of messages were dropped`);
      this.dropped = 0;
    }
    this.writing = undefined;
  }

  /** None: they cannot be counted; the events are published without. */
  private async counted(
    counts: ReadonlyMap<string, number>,
  ): Promise<ReadonlyMap<string, RealtimeTotals>> {
    try {
      return await retryUntilDone(() => this.totals.addMessages(counts), {
        isFinal: (error) => this.isClosing || !isOutage(error),
        onError: (error) => logFailure(this.logger, 'warn', 'messages are not counted yet', error),
        minWaitMs: RETRY_MS,
        maxWaitMs: RETRY_MS,
      });
    } catch (error) {
      logFailure(this.logger, 'error', 'messages cannot be counted', error);
      return new Map();
    }
  }
}

function withTotals(
  { event, ownerId, place }: Waiting,
  counts: ReadonlyMap<string, number>,
  totalsOf: ReadonlyMap<string, RealtimeTotals>,
): SystemEvent {
  const totals = ownerId === undefined ? undefined : totalsOf.get(ownerId);
  if (!totals) return event;
  const later = (counts.get(ownerId ?? '') ?? place) - place;
  const totalMessages = totals.totalMessages - later;
  return { ...event, data: { ...event.data, ...totals, totalMessages } };
}

function eventOf({ to, message: posted, isText }: PostedMessage): SystemEvent {
  const { kind, from, room, message, timestamp } = posted;
  const length = lengthOf(message);
  const isRepeated = length <= MAX_CONTENT_LENGTH && jsonProblem(message) === undefined;
  return {
    type: 'message-broadcast',
    ownerId: ownerOf(to),
    ...(room !== undefined && { subject: room }),
    data: {
      kind: isText ? 'text' : kind,
      from: { ...from, connectionId: from.connectionId ?? null },
      to: addressOf(to),
      ...(room !== undefined && { room }),
      sentAt: timestamp,
      length,
      ...(isRepeated && { message }),
    },
  };
}

/** Of text its characters, of anything else those of its JSON. */
const lengthOf = (message: unknown): number =>
  typeof message === 'string' ? Array.from(message).length : JSON.stringify(message).length;

/** Undefined: those of any owner receive it. */
const namedOwner = (to: Recipients): string | undefined =>
  to.who === 'everybody' ? undefined : to.ownerId;

/** Null: the event is public. */
const ownerOf = (to: Recipients): string | null =>
  to.who === 'everybody' ? null : (namedOwner(to) ?? OPERATOR);

/** Without the members that are undefined. */
const addressOf = (to: Recipients): unknown => JSON.parse(JSON.stringify(to));

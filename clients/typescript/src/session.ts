import type { Connection } from './connection.js';
import type { Topic } from './events.js';
import type { HandOver } from './hand-over.js';
import type { Position } from './position.js';
import { type Listener, type Subscriptions, topicsOf } from './subscriptions.js';
import { TidingsError } from './tidings-error.js';

/** Refusals that have nothing to do with what was asked for: the same may be granted later. */
const TRANSIENT_CODES = new Set([
  'internal_error',
  'rate_limited',
  'timeout',
  'unavailable',
  'unreadable_answer',
]);

/** Events that were missed and cannot be had any more. */
export interface Gap {
  /**
   * The last event before the gap. Undefined: the connection was lost before there was one, so there
   * is none to go on after.
   */
  after: string | undefined;
}

export interface SessionListener {
  onGap(gap: Gap): void;
  /** The server will not have these topics; the other subscriptions go on. */
  onRefused(listener: Listener, error: TidingsError): void;
}

/**
 * The subscriptions on one connection. Requests go out one at a time: the server is never asked for
 * a topic that an earlier request is still about.
 */
export class Session {
  private requests: Promise<void> = Promise.resolve();

  constructor(
    private readonly connection: Connection,
    private readonly subscriptions: Subscriptions,
    private readonly position: Position,
    private readonly handOver: HandOver,
    private readonly listener: SessionListener,
  ) {
    // Whoever listens when a connection begins goes on where the last one ended.
    this.enqueue(() => this.take(true));
  }

  /** Asks the server for the topics of listeners that have come since, from now on. */
  join(): void {
    this.enqueue(() => this.take(false));
  }

  /** Gives back topics that nobody listens to any more. */
  leave(topics: readonly Topic[]): void {
    this.enqueue(async () => {
      const unneeded = this.subscriptions.unneeded(topics);
      if (unneeded.length === 0) return;
      await this.connection.request('unsubscribe', { topics: unneeded });
    });
  }

  private enqueue(step: () => Promise<void>): void {
    this.requests = this.requests.then(step).catch((error: unknown) => {
      // Half a subscription is none: a new connection begins with all of it again.
      this.connection.close(error instanceof Error ? error.message : String(error));
    });
  }

  private async take(isBeginning: boolean): Promise<void> {
    const listeners = this.subscriptions.all.filter(({ joined }) => joined !== this);
    if (listeners.length === 0) return;
    for (const listener of listeners) listener.joined = this;
    const goesOn = isBeginning || !this.position.isInUse;
    const after = goesOn ? this.position.resumeAfter : undefined;
    this.position.isInUse = true;
    const hasMissed = isBeginning && after === undefined && listeners.some((l) => l.wasAccepted);

    const replay = after === undefined ? undefined : this.position.hold();
    const isRecovered = await this.subscribe(listeners, after);
    this.handOver.push(() => {
      if (hasMissed || !isRecovered) this.listener.onGap({ after });
      if (replay !== undefined) this.position.settle(replay);
    });
  }

  /** @returns false if history did not reach back */
  private async subscribe(
    listeners: readonly Listener[],
    after: string | undefined,
  ): Promise<boolean> {
    const topics = topicsOf(listeners);
    const request = { topics, ...(after !== undefined && { after }) };
    const answer = await this.connection.request('subscribe', request);
    if (answer.ok) {
      for (const listener of listeners) listener.accepted();
      return answer.recovered !== false;
    }
    const error = TidingsError.of(answer.error);
    if (TRANSIENT_CODES.has(error.code)) throw error;
    return this.subscribeEach(listeners, after, error);
  }

  /** One bad topic refuses the whole request; the others shall not suffer. */
  private async subscribeEach(
    listeners: readonly Listener[],
    after: string | undefined,
    error: TidingsError,
  ): Promise<boolean> {
    if (listeners.length === 1) {
      for (const listener of listeners) this.listener.onRefused(listener, error);
      return true;
    }
    let isRecovered = true;
    for (const listener of listeners) {
      if (!(await this.subscribe([listener], after))) isRecovered = false;
    }
    return isRecovered;
  }
}

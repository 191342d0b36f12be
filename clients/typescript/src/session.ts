import type { Connection } from './connection.js';
import type { Topic } from './events.js';
import type { SerialQueue } from './serial-queue.js';
import type { Position } from './position.js';
import { type Listener, type Subscriptions, topicsOf } from './subscriptions.js';
import { isTransient, TidingsError } from './tidings-error.js';

/** Events that were missed and are no longer in the log. */
export interface Gap {
  /**
   * The last event, or position, before the gap. Undefined: the connection was lost before the first
   * event, and the server has named no position.
   */
  after: string | undefined;
}

export interface SessionListener {
  onGap(gap: Gap): void;
  /** The server refuses these topics; other subscriptions are not affected. */
  onRefused(listener: Listener, error: TidingsError): void;
}

/**
 * The subscriptions on one connection. Requests are sent one at a time, so that no two of them concern
 * the same topic at the same time.
 */
export class Session {
  private requests: Promise<void> = Promise.resolve();

  constructor(
    private readonly connection: Connection,
    private readonly subscriptions: Subscriptions,
    private readonly position: Position,
    private readonly handlerQueue: SerialQueue,
    private readonly listener: SessionListener,
  ) {
    // Listeners that exist when a connection begins resume where the last one ended.
    this.enqueue(() => this.take(true));
  }

  /** Subscribes the listeners that were added since, from now on. */
  join(): void {
    this.enqueue(() => this.take(false));
  }

  /** Unsubscribes topics that no listener needs any more. */
  leave(topics: readonly Topic[]): void {
    this.enqueue(async () => {
      const unneeded = this.subscriptions.unneeded(topics);
      if (unneeded.length === 0) return;
      await this.connection.request('unsubscribe', { topics: unneeded });
    });
  }

  private enqueue(step: () => Promise<void>): void {
    this.requests = this.requests.then(step).catch((error: unknown) => {
      // The state of the subscriptions is unknown: a new connection requests all of them again.
      this.connection.close(error instanceof Error ? error.message : String(error));
    });
  }

  private async take(isBeginning: boolean): Promise<void> {
    const listeners = this.subscriptions.all.filter(({ joined }) => joined !== this);
    if (listeners.length === 0) return;
    for (const listener of listeners) listener.joined = this;
    const resumes = isBeginning || !this.position.isInUse;
    const after = resumes ? this.position.resumeAfter : undefined;
    this.position.isInUse = true;
    const hasMissed = isBeginning && after === undefined && listeners.some((l) => l.wasAccepted);

    const replay = after === undefined ? undefined : this.position.beginReplay();
    const isRecovered = await this.subscribe(listeners, after);
    this.handlerQueue.push(() => {
      if (hasMissed || !isRecovered) this.listener.onGap({ after });
      if (replay !== undefined) this.position.endReplay(replay);
    });
  }

  /** @returns false if the log did not reach back to `after` */
  private async subscribe(
    listeners: readonly Listener[],
    after: string | undefined,
  ): Promise<boolean> {
    const topics = topicsOf(listeners);
    const request = { topics, ...(after !== undefined && { after }) };
    const answer = await this.connection.request('subscribe', request);
    if (answer.ok) {
      for (const listener of listeners) listener.accepted();
      const isRecovered = answer.recovered !== false;
      this.begin(answer.position, isRecovered ? undefined : after);
      return isRecovered;
    }
    const error = TidingsError.of(answer.error);
    if (isTransient(error)) throw error;
    return this.subscribeEach(listeners, after, error);
  }

  /** After the handlers of all events that came before the answer. */
  private begin(position: string | undefined, unknown: string | undefined): void {
    if (position === undefined) return;
    this.handlerQueue.push(() => this.position.begin(position, unknown));
  }

  /** One refused topic refuses the whole request, so each listener is tried alone. */
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

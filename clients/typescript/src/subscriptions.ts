/** The handlers of a client, and the topics that they need from the server. */
import { selects, type TidingsEvent, type Topic, topicKey } from './events.js';
import type { TidingsError } from './tidings-error.js';

export type Handler = (event: TidingsEvent) => unknown;

export interface Subscription {
  /** Fulfilled when the server has accepted the topics; rejected if it refuses them. */
  readonly ready: Promise<void>;
  /** Ends the subscription; its handler is not called again. */
  readonly unsubscribe: () => void;
}

export class Listener {
  /** Fulfilled when the server has taken the topics. */
  readonly ready: Promise<void>;
  /** False after it was unsubscribed or refused. */
  isActive = true;
  /** The session in which the server has its topics. */
  joined: unknown;
  wasAccepted = false;
  private settleReady: { resolve(): void; reject(error: TidingsError): void } | undefined;

  constructor(
    readonly topics: readonly Topic[],
    readonly handler: Handler,
  ) {
    this.ready = new Promise((resolve, reject) => (this.settleReady = { resolve, reject }));
    // A refusal is also reported through `onError`, so it must not be an unhandled rejection.
    this.ready.catch(() => undefined);
  }

  accepted(): void {
    this.wasAccepted = true;
    this.settleReady?.resolve();
  }

  refused(error: TidingsError): void {
    this.isActive = false;
    this.settleReady?.reject(error);
  }

  wants(event: TidingsEvent, channel: string | undefined): boolean {
    return this.isActive && this.topics.some((topic) => selects(topic, event, channel));
  }
}

export class Subscriptions {
  private readonly listeners = new Set<Listener>();

  get all(): Listener[] {
    return [...this.listeners];
  }

  add(listener: Listener): void {
    this.listeners.add(listener);
  }

  delete(listener: Listener): void {
    listener.isActive = false;
    this.listeners.delete(listener);
  }

  /** Those of the topics that no listener needs. */
  unneeded(topics: readonly Topic[]): Topic[] {
    const needed = new Set(topicsOf(this.all).map(topicKey));
    return topics.filter((topic) => !needed.has(topicKey(topic)));
  }

  /**
   * Calls the handlers of all listeners that want the event. Returns undefined if they have finished,
   * otherwise a promise that is fulfilled when they have.
   *
   * @param channel that of the event's type
   * @param onError gets the error of a handler; the other handlers are called all the same
   */
  dispatch(
    event: TidingsEvent,
    channel: string | undefined,
    onError: (error: unknown) => void,
  ): Promise<unknown> | undefined {
    const pending: PromiseLike<unknown>[] = [];
    // `all` is a copy: listeners that are added now do not get this event.
    for (const listener of this.all) {
      if (!listener.wants(event, channel)) continue;
      try {
        const result = listener.handler(event);
        if (isPromise(result)) pending.push(result.then(undefined, onError));
      } catch (error) {
        onError(error);
      }
    }
    return pending.length === 0 ? undefined : Promise.all(pending);
  }
}

/** Every topic of these listeners, once. */
export const topicsOf = (listeners: readonly Listener[]): Topic[] => [
  ...new Map(
    listeners.flatMap(({ topics }) => topics.map((topic) => [topicKey(topic), topic] as const)),
  ).values(),
];

const isPromise = (value: unknown): value is PromiseLike<unknown> =>
  typeof (value as { then?: unknown } | null | undefined)?.then === 'function';

/** Who listens to what: the handlers of a client, and the topics that they need of the server. */
import { selects, type TidingsEvent, type Topic, topicKey } from './events.js';
import type { TidingsError } from './tidings-error.js';

export type Handler = (event: TidingsEvent) => unknown;

export class Listener {
  /** Fulfilled when the server has taken the topics. */
  readonly ready: Promise<void>;
  /** No longer, from the moment on at which it was taken back or refused. */
  isActive = true;
  /** The connection on which the server has its topics. */
  joined: unknown;
  wasAccepted = false;
  private settleReady: { resolve(): void; reject(error: TidingsError): void } | undefined;

  constructor(
    readonly topics: readonly Topic[],
    readonly handler: Handler,
  ) {
    this.ready = new Promise((resolve, reject) => (this.settleReady = { resolve, reject }));
    // Whoever does not wait for it hears of a refusal through `onError`.
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

  wants(event: TidingsEvent): boolean {
    return this.isActive && this.topics.some((topic) => selects(topic, event));
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

  /** Those of the topics that nobody listens to. */
  unneeded(topics: readonly Topic[]): Topic[] {
    const needed = new Set(topicsOf(this.all).map(topicKey));
    return topics.filter((topic) => !needed.has(topicKey(topic)));
  }

  /**
   * Lets everybody who listens have the event. Undefined if that is done, or else a promise that is
   * fulfilled when it is.
   *
   * @param onError is told what a handler threw; the others have the event all the same
   */
  tell(event: TidingsEvent, onError: (error: unknown) => void): Promise<unknown> | undefined {
    const pending: PromiseLike<unknown>[] = [];
    // A copy: who begins to listen now does not hear this event.
    for (const listener of this.all) {
      if (!listener.wants(event)) continue;
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

import type { FairSemaphore } from './fair-semaphore.js';

export interface RequestCoalescerOptions<Item, Result> {
  /** Bounds the reads of all keys. */
  semaphore: FairSemaphore;
  /** Reads for all items, at least one, in their order. */
  read: (items: readonly Item[]) => Promise<Result>;
  /** Between two reads of one key. */
  pause: () => Promise<unknown>;
}

/**
 * Makes one read for several requests of the same key. A request gets the result of a read that begins
 * after it, never of one that is running: what callers did before their request was done before the
 * read. Requests gather for the next read while one is running, and during the pause after it.
 */
export class RequestCoalescer<Item, Result> {
  /** By key: the requests of the next read, which has not begun. */
  private readonly gathering = new Map<string, Gathering<Item, Result>>();
  /** By key: the last read and the pause after it, until both have ended. */
  private readonly last = new Map<string, Promise<unknown>>();

  constructor(private readonly options: RequestCoalescerOptions<Item, Result>) {}

  /**
   * @param owner whose share of the reads it needs
   * @throws what the read throws, to all callers that share it; AppError `rate_limited`
   */
  get(key: string, item: Item, owner: string): Promise<Result> {
    const gathered = this.gathering.get(key);
    if (gathered) {
      gathered.items.push(item);
      return gathered.result;
    }
    const items = [item];
    const previous = this.last.get(key) ?? Promise.resolve();
    const { semaphore, read } = this.options;
    const begun = (): void => {
      if (this.gathering.get(key)?.items === items) this.gathering.delete(key);
    };
    const result = previous
      .then(() =>
        semaphore.take(owner, () => {
          begun();
          return read(items);
        }),
      )
      // Also if the owner may have no more reads waiting.
      .finally(begun);
    this.gathering.set(key, { items, result });
    this.remember(key, result);
    return result;
  }

  private remember(key: string, result: Promise<Result>): void {
    const { pause } = this.options;
    const ended = result.then(pause, pause).then(() => {
      if (this.last.get(key) === ended) this.last.delete(key);
    });
    this.last.set(key, ended);
  }
}

interface Gathering<Item, Result> {
  items: Item[];
  result: Promise<Result>;
}

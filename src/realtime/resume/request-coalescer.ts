import type { Semaphore } from '../../shared/semaphore.js';

export interface RequestCoalescerOptions<Ask, Result> {
  /** Of the reads under all keys. */
  turns: Semaphore;
  /** Reads for those who asked, at least one, in their order. */
  read: (asks: readonly Ask[]) => Promise<Result>;
  /** Between two reads under one key. */
  pause: () => Promise<unknown>;
}

/**
 * Reads that several ask for at the same time and that are made once for all of them. Whoever asks
 * under a key gets the result of a read that begins after that, never of one that is going on: so
 * what everybody has done before asking was done before the read. While one is going on, and for a
 * moment after that, those who ask for the next one gather.
 */
export class RequestCoalescer<Ask, Result> {
  /** By key: who gets the next read, which has not begun. */
  private readonly gathering = new Map<string, Gathering<Ask, Result>>();
  /** By key: the last read that was asked for and the moment after it, as long as they are not over. */
  private readonly last = new Map<string, Promise<unknown>>();

  constructor(private readonly options: RequestCoalescerOptions<Ask, Result>) {}

  /** @throws what the read throws, to everybody who shares it */
  get(key: string, ask: Ask): Promise<Result> {
    const gathered = this.gathering.get(key);
    if (gathered) {
      gathered.asks.push(ask);
      return gathered.result;
    }
    const asks = [ask];
    const previous = this.last.get(key) ?? Promise.resolve();
    const { turns, read } = this.options;
    const result = previous.then(() =>
      turns.take(() => {
        this.gathering.delete(key);
        return read(asks);
      }),
    );
    this.gathering.set(key, { asks, result });
    this.remember(key, result);
    return result;
  }

  private remember(key: string, result: Promise<Result>): void {
    const { pause } = this.options;
    const over = result.then(pause, pause).then(() => {
      if (this.last.get(key) === over) this.last.delete(key);
    });
    this.last.set(key, over);
  }
}

interface Gathering<Ask, Result> {
  asks: Ask[];
  result: Promise<Result>;
}

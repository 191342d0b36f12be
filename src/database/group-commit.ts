/**
 * Gathers what many callers want to write into few statements, so that they share one commit.
 *
 * A flush starts as soon as `minGapMs` have passed since the last one started; at most `maxInFlight`
 * run at a time. So a lone write does not wait, and under load the batches grow. (Waiting only for
 * the previous flush gives batches of one or two rows; a fixed timer delays every single write.)
 *
 * A caller's promise settles with its own part of the result. The order between flushes is undefined.
 */
export interface GroupCommitOptions<Item, Result> {
  /** Writes the items in one transaction; returns one result for each, in the same order. */
  write: (items: Item[]) => Promise<Result[]>;
  /** Rows that an item stands for; a batch is closed once it reaches `maxRows`. */
  rows?: (item: Item) => number;
  maxRows?: number;
  maxInFlight?: number;
  minGapMs?: number;
  /** Whether one item can have caused the error: the batch is then halved until that item is alone. */
  isItemsFault?: (error: unknown) => boolean;
  /** A monotonic clock in milliseconds. */
  now: () => number;
}

interface Waiting<Item, Result> {
  item: Item;
  resolve: (result: Result) => void;
  reject: (error: unknown) => void;
}

export class GroupCommit<Item, Result> {
  private waiting: Waiting<Item, Result>[] = [];
  private inFlight = 0;
  private lastStart = Number.NEGATIVE_INFINITY;
  private timer: NodeJS.Timeout | NodeJS.Immediate | undefined;

  private readonly write: (items: Item[]) => Promise<Result[]>;
  private readonly rows: (item: Item) => number;
  private readonly maxRows: number;
  private readonly maxInFlight: number;
  private readonly minGapMs: number;
  private readonly isItemsFault: (error: unknown) => boolean;
  private readonly now: () => number;

  constructor(options: GroupCommitOptions<Item, Result>) {
    this.write = options.write;
    this.rows = options.rows ?? (() => 1);
    this.maxRows = options.maxRows ?? 500;
    this.maxInFlight = options.maxInFlight ?? 2;
    this.minGapMs = options.minGapMs ?? 2;
    this.isItemsFault = options.isItemsFault ?? (() => false);
    this.now = options.now;
  }

  /** Settles when the batch that the item went into is durable, or has failed. */
  add(item: Item): Promise<Result> {
    return new Promise<Result>((resolve, reject) => {
      this.waiting.push({ item, resolve, reject });
      this.schedule();
    });
  }

  private schedule(): void {
    if (this.timer || this.inFlight >= this.maxInFlight || this.waiting.length === 0) return;
    const wait = this.lastStart + this.minGapMs - this.now();
    const flush = () => {
      this.timer = undefined;
      void this.flush();
    };
    // setImmediate, not a call: requests that were read in the same turn join the batch.
    this.timer = wait > 0 ? setTimeout(flush, wait) : setImmediate(flush);
  }

  private async flush(): Promise<void> {
    const batch = this.takeBatch();
    this.lastStart = this.now();
    this.inFlight++;
    this.schedule();
    await this.settle(batch);
    this.inFlight--;
    this.schedule();
  }

  /** Never rejects: every outcome goes to the callers. */
  private async settle(batch: Waiting<Item, Result>[]): Promise<void> {
    try {
      const results = await this.write(batch.map((waiting) => waiting.item));
      batch.forEach((waiting, index) => waiting.resolve(results[index]!));
    } catch (error) {
      if (batch.length > 1 && this.isItemsFault(error)) {
        const half = Math.ceil(batch.length / 2);
        await this.settle(batch.slice(0, half));
        await this.settle(batch.slice(half));
      } else {
        for (const waiting of batch) waiting.reject(error);
      }
    }
  }

  private takeBatch(): Waiting<Item, Result>[] {
    let rows = 0;
    let count = 0;
    while (count < this.waiting.length && rows < this.maxRows) {
      rows += this.rows(this.waiting[count]!.item);
      count++;
    }
    return this.waiting.splice(0, count);
  }
}

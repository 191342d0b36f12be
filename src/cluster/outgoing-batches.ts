/**
 * Items on their way to other processes: bounded, in order, several to a batch.
 *
 * A batch stays the next one until it is settled. One whose fate is unknown can therefore be sent
 * again as it was: its number tells the receivers, who have perhaps seen it.
 */
export interface BatchLimits {
  /** Per batch. */
  items: number;
  /** Length of items per batch, roughly (UTF-16 units); one larger item makes a batch of its own. */
  length: number;
  /** The same, of everything that waits. */
  waitingItems: number;
  waitingLength: number;
}

/** How every batch of a process begins, so that it knows its own without reading them. */
export const startOfBatches = (node: string): string => JSON.stringify({ v: 1, node }).slice(0, -1);

export class OutgoingBatches<Item> {
  private waiting: Item[] = [];
  private length = 0;
  private count = 0;
  private unsettled: string | undefined;

  /**
   * @param node names this process to the others; must be new for every process
   * @param lengthOf the length of an item, roughly
   */
  constructor(
    private readonly node: string,
    private readonly limits: BatchLimits,
    private readonly lengthOf: (item: Item) => number,
  ) {}

  /** @returns how many of them found no room and are lost to other processes */
  add(items: readonly Item[]): number {
    const { waitingItems, waitingLength } = this.limits;
    let dropped = 0;
    for (const item of items) {
      if (this.waiting.length >= waitingItems || this.length >= waitingLength) {
        dropped++;
        continue;
      }
      this.waiting.push(item);
      this.length += this.lengthOf(item);
    }
    return dropped;
  }

  /** The oldest batch, the same until it is settled; undefined if nothing waits. */
  next(): string | undefined {
    if (this.unsettled === undefined && this.waiting.length > 0) this.unsettled = this.take();
    return this.unsettled;
  }

  /** The batch has arrived, or cannot. */
  settle(): void {
    this.unsettled = undefined;
  }

  private take(): string {
    let size = 0;
    let length = 0;
    for (const item of this.waiting) {
      const next = this.lengthOf(item);
      if (size === this.limits.items || (size > 0 && length + next > this.limits.length)) break;
      size++;
      length += next;
    }
    this.length -= length;
    this.count++;
    return JSON.stringify({
      v: 1,
      node: this.node,
      seq: this.count,
      items: this.waiting.splice(0, size),
    });
  }
}

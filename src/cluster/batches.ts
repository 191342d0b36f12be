/**
 * Items on their way between nodes: bounded, in order, several to a batch. If there are too many the
 * oldest are dropped: receivers still know whether they have had the latest ones in another way.
 *
 * A batch stays the next one until it is settled. If it is unknown whether it was published it is
 * published again unchanged, and receivers recognise it by its number.
 */
import { z } from 'zod';

export interface BatchLimits {
  /** Per batch. */
  items: number;
  /** Length of items per batch, roughly (UTF-16 units); one larger item makes a batch of its own. */
  length: number;
  /** The same, of everything that waits. */
  waitingItems: number;
  waitingLength: number;
}

/** How every batch of a node begins: it recognises its own without parsing them. */
export const startOfBatches = (node: string): string => JSON.stringify({ v: 1, node }).slice(0, -1);

export class OutgoingBatches<Item> {
  private waiting: Item[] = [];
  private length = 0;
  private count = 0;
  private unsettled: { text: string; size: number } | undefined;

  /**
   * @param node the sender; must be new for every process
   * @param lengthOf the length of an item, roughly
   */
  constructor(
    private readonly node: string,
    private readonly limits: BatchLimits,
    private readonly lengthOf: (item: Item) => number,
  ) {}

  /** @returns how many waiting ones are dropped because there are too many */
  add(items: readonly Item[]): number {
    const { waitingItems, waitingLength } = this.limits;
    let dropped = 0;
    for (const item of items) {
      this.waiting.push(item);
      this.length += this.lengthOf(item);
      while (this.waiting.length > waitingItems || this.length > waitingLength) {
        if (this.waiting.length === 1) break;
        dropped += this.dropOldest();
      }
    }
    return dropped;
  }

  /** The oldest batch, the same until it is settled; undefined if nothing waits. */
  next(): string | undefined {
    if (this.unsettled === undefined && this.waiting.length > 0) this.unsettled = this.take();
    return this.unsettled?.text;
  }

  /** The batch was published, or never can be. */
  settle(): void {
    this.unsettled = undefined;
  }

  /** A batch at a time: removing one item costs as much. */
  private dropOldest(): number {
    const dropped = this.waiting.splice(0, Math.min(this.limits.items, this.waiting.length - 1));
    for (const item of dropped) this.length -= this.lengthOf(item);
    // Older than all of them.
    const unsettled = this.unsettled?.size ?? 0;
    this.unsettled = undefined;
    return unsettled + dropped.length;
  }

  private take(): { text: string; size: number } {
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
    const items = this.waiting.splice(0, size);
    return { text: JSON.stringify({ v: 1, node: this.node, seq: this.count, items }), size };
  }
}

const batchOf = <Item>(item: z.ZodType<Item>) =>
  z.object({
    v: z.literal(1),
    node: z.string().min(1).max(64),
    seq: z.int().positive(),
    items: z.array(item),
  });

/** Every process has a new name; the numbers of those that sent last are kept. */
const MAX_NODES = 1_000;

/** The items of a batch; none if the batch was received before. */
export interface Received<Item> {
  /** The sender. */
  node: string;
  items: Item[];
}

/** Reads batches of other nodes. Redis may be shared, so every batch is validated. */
export class IncomingBatches<Item> {
  private readonly lastSeq = new Map<string, number>();
  private readonly batch: z.ZodType<Received<Item> & { seq: number }>;

  /** @param node this node, whose own batches are skipped */
  constructor(
    private readonly node: string,
    item: z.ZodType<Item>,
  ) {
    this.batch = batchOf(item);
  }

  /** Undefined: the text is no batch. */
  accept(text: string): Received<Item> | undefined {
    const batch = this.batch.safeParse(parsed(text));
    if (!batch.success) return undefined;
    const { node, seq, items } = batch.data;
    if (node === this.node || seq <= (this.lastSeq.get(node) ?? 0)) return { node, items: [] };
    this.remember(node, seq);
    return { node, items };
  }

  private remember(node: string, seq: number): void {
    this.lastSeq.delete(node);
    this.lastSeq.set(node, seq);
    const [oldest] = this.lastSeq.keys();
    if (this.lastSeq.size > MAX_NODES && oldest !== undefined) this.lastSeq.delete(oldest);
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

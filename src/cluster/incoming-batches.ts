/**
 * Batches from other processes, as they arrive: this process's own and repeated ones are skipped.
 * Whoever may publish on our Redis could write them, so nothing is taken for granted.
 */
import { z } from 'zod';

const batchOf = <Item>(item: z.ZodType<Item>) =>
  z.object({
    v: z.literal(1),
    node: z.string().min(1).max(64),
    seq: z.int().positive(),
    items: z.array(item),
  });

/** Processes come and go, each with a new name; those that spoke last are remembered. */
const MAX_NODES = 1_000;

/** A batch that was not known yet, or nothing of one that was. */
export interface Arrived<Item> {
  /** The process that has sent it. */
  node: string;
  items: Item[];
}

export class IncomingBatches<Item> {
  private readonly lastSeq = new Map<string, number>();
  private readonly batch: z.ZodType<Arrived<Item> & { seq: number }>;

  /** @param node the name of this process */
  constructor(
    private readonly node: string,
    item: z.ZodType<Item>,
  ) {
    this.batch = batchOf(item);
  }

  /** The items of a message; none if they are known already, undefined if it is not a batch. */
  accept(message: string): Arrived<Item> | undefined {
    const batch = this.batch.safeParse(parsed(message));
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

function parsed(message: string): unknown {
  try {
    return JSON.parse(message);
  } catch {
    return undefined;
  }
}

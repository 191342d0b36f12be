/**
 * Batches from other processes, as they arrive: this process's own and repeated ones are skipped.
 * Whoever may publish on our Redis could write them, so nothing is taken for granted.
 */
import { z } from 'zod';
import type { RealtimeEvent } from './realtime-event.js';

const Batch = z.object({
  v: z.literal(1),
  node: z.string(),
  seq: z.int().positive(),
  events: z.array(
    z.object({
      id: z.string(),
      ownerId: z.string().nullable(),
      type: z.string(),
      subject: z.string().nullable(),
      body: z.string(),
    }),
  ),
});

/** Processes come and go, each with a new name; those that spoke last are remembered. */
const MAX_NODES = 1_000;

export class IncomingBatches {
  private readonly lastSeq = new Map<string, number>();

  /** @param node the name of this process */
  constructor(private readonly node: string) {}

  /** The events of a message; none if they are known already, undefined if it is not a batch. */
  accept(message: string): RealtimeEvent[] | undefined {
    const batch = Batch.safeParse(parsed(message));
    if (!batch.success) return undefined;
    const { node, seq, events } = batch.data;
    if (node === this.node || seq <= (this.lastSeq.get(node) ?? 0)) return [];
    this.remember(node, seq);
    return events;
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

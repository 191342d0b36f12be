import type { z } from 'zod';
import { type Arrived, IncomingBatches } from './incoming-batches.js';
import { type BatchLimits, OutgoingBatches, startOfBatches } from './outgoing-batches.js';

interface ChannelOptions<Item> {
  /** Of the channel, among those of other installations in the same Redis. */
  name: string;
  /** The name of this process. */
  node: string;
  /** In words, for the log. */
  things: string;
  limits: BatchLimits;
  item: z.ZodType<Item>;
  lengthOf: (item: Item) => number;
}

/** One kind of item in both directions: what waits to be sent, and what is done with what comes. */
export class BusChannel<Item> {
  readonly name: string;
  readonly things: string;
  /** Items that were lost to other processes since it was last said. */
  dropped = 0;
  private readonly outgoing: OutgoingBatches<Item>;
  private readonly incoming: IncomingBatches<Item>;
  private readonly ownStart: Buffer;
  private handler: ((arrived: Arrived<Item>) => void) | undefined;

  constructor({ name, node, things, limits, item, lengthOf }: ChannelOptions<Item>) {
    this.name = name;
    this.things = things;
    this.outgoing = new OutgoingBatches(node, limits, lengthOf);
    this.incoming = new IncomingBatches(node, item);
    this.ownStart = Buffer.from(startOfBatches(node));
  }

  /** @returns whether all of them found room */
  add(items: readonly Item[]): boolean {
    const dropped = this.outgoing.add(items);
    this.dropped += dropped;
    return dropped === 0;
  }

  next(): string | undefined {
    return this.outgoing.next();
  }

  settle(): void {
    this.outgoing.settle();
  }

  hear(handler: (arrived: Arrived<Item>) => void): void {
    this.handler = handler;
  }

  /** @returns false: it is not one of our messages */
  take(message: Buffer): boolean {
    // Redis sends a process its own as well, and they would cost as much to read as those of others.
    if (message.subarray(0, this.ownStart.length).equals(this.ownStart)) return true;
    const arrived = this.incoming.accept(message.toString());
    if (arrived && arrived.items.length > 0) this.handler?.(arrived);
    return arrived !== undefined;
  }
}

import { z } from 'zod';
import type { RealtimeEvent } from '../shared/envelope.js';
import { type BatchLimits, IncomingBatches, OutgoingBatches, startOfBatches } from './batches.js';

export const EventItem: z.ZodType<RealtimeEvent> = z.object({
  id: z.string(),
  ownerId: z.string().nullable(),
  type: z.string(),
  subject: z.string().nullable(),
  transient: z.boolean().optional(),
  body: z.string(),
});

const MessageItem = z.object({
  kind: z.string(),
  /** The node that it is for; absent: all. */
  to: z.string().optional(),
  payload: z.unknown(),
});

/** What one node sends to another one, or to all. The receiver has to validate the payload. */
export type BusMessage = z.output<typeof MessageItem>;

const EVENT_LIMITS: BatchLimits = {
  items: 256,
  length: 512 * 1024,
  // Some seconds of a busy publisher.
  waitingItems: 20_000,
  waitingLength: 32 * 1024 * 1024,
};

const MESSAGE_LIMITS: BatchLimits = {
  items: 256,
  length: 512 * 1024,
  // Fewer: a request or a presence change that arrives late is of little use.
  waitingItems: 5_000,
  waitingLength: 8 * 1024 * 1024,
};

interface ChannelOptions<Item> {
  /** In Redis. */
  name: string;
  /** This node. */
  node: string;
  /** What the items are, in log lines. */
  label: string;
  limits: BatchLimits;
  item: z.ZodType<Item>;
  lengthOf: (item: Item) => number;
  onItems: (items: Item[], node: string) => void;
}

/** One kind of item in both directions: those that wait to be published, and those received. */
export class BusChannel<Item> {
  readonly name: string;
  readonly label: string;
  /** Items that other nodes have missed since that was last logged. */
  dropped = 0;
  private readonly outgoing: OutgoingBatches<Item>;
  private readonly incoming: IncomingBatches<Item>;
  private readonly ownStart: Buffer;
  private readonly onItems: (items: Item[], node: string) => void;

  constructor({ name, node, label, limits, item, lengthOf, onItems }: ChannelOptions<Item>) {
    this.name = name;
    this.label = label;
    this.outgoing = new OutgoingBatches(node, limits, lengthOf);
    this.incoming = new IncomingBatches(node, item);
    this.ownStart = Buffer.from(startOfBatches(node));
    this.onItems = onItems;
  }

  /** @returns whether none of them was dropped */
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

  /** @returns false: the data is no batch */
  receive(data: Buffer): boolean {
    // Redis sends a node its own batches as well; parsing them would cost as much as those of others.
    if (data.subarray(0, this.ownStart.length).equals(this.ownStart)) return true;
    const received = this.incoming.accept(data.toString());
    if (received && received.items.length > 0) this.onItems(received.items, received.node);
    return received !== undefined;
  }
}

type Receiver<Item> = Pick<ChannelOptions<Item>, 'name' | 'node' | 'onItems'>;

export const eventChannel = (receiver: Receiver<RealtimeEvent>): BusChannel<RealtimeEvent> =>
  new BusChannel({
    ...receiver,
    label: 'events',
    limits: EVENT_LIMITS,
    item: EventItem,
    lengthOf: ({ body }) => body.length,
  });

export const messageChannel = (receiver: Receiver<BusMessage>): BusChannel<BusMessage> =>
  new BusChannel({
    ...receiver,
    label: 'messages',
    limits: MESSAGE_LIMITS,
    item: MessageItem,
    lengthOf: (message) => JSON.stringify(message).length,
  });

import { RingQueue } from '../../shared/ring-queue.js';

/**
 * Work for many webhooks of many owners, taken in turn on two levels: owners take turns, and within
 * an owner its webhooks do. So neither a flooded webhook nor an owner with a thousand of them delays
 * another owner by more than a turn.
 *
 * A line (a webhook) has at most `limitOf(webhookId)` items out at once, an owner at most
 * `maxPerOwner`: slow receivers of one owner cannot hold every place there is.
 * Within a line, three priorities share by weight, so the lowest is never starved; within a line and
 * a priority, first in is first out.
 */
export interface FairQueueItem {
  /** The line it stands in: the webhook. */
  webhookId: string;
  /** 0 high, 1 normal, 2 low. */
  priority: number;
}

/** How much may be out at once. */
export interface FairQueueLimits {
  /**
   * Items that a line may have out now; 0 holds it. Asked whenever the line might move, so it has to
   * be cheap. When it has risen, say so with {@link FairQueue.reconsider}.
   */
  limitOf: (webhookId: string) => number;
  /** Items that the lines of one owner may have out together. */
  maxPerOwner: number;
}

/** Of twelve turns of a line, high is asked first in eight, normal in three, low in one. */
const TURNS = [0, 0, 1, 0, 0, 0, 1, 0, 0, 2, 0, 1] as const;

type Priority = 0 | 1 | 2;

interface Line<Item extends object> {
  readonly webhookId: string;
  readonly owner: Owner<Item>;
  /** By priority; made when first needed, since most lines know one priority only. */
  readonly waiting: [
    RingQueue<Item> | undefined,
    RingQueue<Item> | undefined,
    RingQueue<Item> | undefined,
  ];
  size: number;
  out: number;
  turn: number;
  isReady: boolean;
}

interface Owner<Item extends object> {
  readonly key: string;
  /** Its lines that may give an item, in the order of their turns. */
  ready: RingQueue<Line<Item>>;
  lines: number;
  size: number;
  out: number;
  isReady: boolean;
}

export class FairQueue<Item extends FairQueueItem> {
  private readonly lines = new Map<string, Line<Item>>();
  private readonly owners = new Map<string, Owner<Item>>();
  /** Owners that may give an item, in the order of their turns. */
  private ready = new RingQueue<Owner<Item>>();
  private waitingCount = 0;

  constructor(private readonly limits: FairQueueLimits) {}

  /** Items that wait, in all lines. */
  get size(): number {
    return this.waitingCount;
  }

  /** Items of one webhook that wait or are out. */
  lengthOf(webhookId: string): number {
    const line = this.lines.get(webhookId);
    return line ? line.size + line.out : 0;
  }

  /** Of these, those that an item of this priority would come after: what is less urgent is not. */
  lengthAhead(webhookId: string, priority: number): number {
    const line = this.lines.get(webhookId);
    if (!line) return 0;
    let length = line.out;
    for (let p = 0; p <= priorityOf({ priority }); p++) length += line.waiting[p]?.size ?? 0;
    return length;
  }

  /** Items of one owner that wait or are out. */
  lengthOfOwner(ownerKey: string): number {
    const owner = this.owners.get(ownerKey);
    return owner ? owner.size + owner.out : 0;
  }

  /** @param ownerKey with whose other lines this line takes turns; the same as long as it has items */
  push(item: Item, ownerKey: string): void {
    const line = this.lines.get(item.webhookId) ?? this.open(item.webhookId, ownerKey);
    (line.waiting[priorityOf(item)] ??= new RingQueue()).push(item);
    line.size++;
    line.owner.size++;
    this.waitingCount++;
    this.offer(line);
  }

  /** The next item whose webhook and owner may have one more out; undefined: none may at present. */
  take(): Item | undefined {
    for (let owner = this.ready.shift(); owner; owner = this.ready.shift()) {
      owner.isReady = false;
      const line = this.nextLine(owner);
      if (line) return this.takeFrom(line);
    }
    return undefined;
  }

  /**
   * Gives back the place that a taken item had.
   * @param isUsed false: also its turn, so that the next of its priority is asked in its stead
   */
  done(webhookId: string, isUsed = true): void {
    const line = this.lines.get(webhookId);
    if (!line) return;
    if (!isUsed) line.turn = (line.turn + TURNS.length - 1) % TURNS.length;
    line.out--;
    line.owner.out--;
    this.offer(line);
    this.offerOwner(line.owner);
    this.closeIfEmpty(line);
  }

  /** The limit of this webhook may have risen. */
  reconsider(webhookId: string): void {
    const line = this.lines.get(webhookId);
    if (line) this.offer(line);
  }

  /** Takes out everything that waits. */
  drain(): Item[] {
    const items: Item[] = [];
    this.ready = new RingQueue();
    for (const owner of this.owners.values()) {
      owner.ready = new RingQueue();
      owner.isReady = false;
    }
    for (const line of this.lines.values()) {
      line.isReady = false;
      while (line.size > 0) items.push(this.shift(line));
      this.closeIfEmpty(line);
    }
    return items;
  }

  private open(webhookId: string, ownerKey: string): Line<Item> {
    let owner = this.owners.get(ownerKey);
    if (!owner) {
      owner = { key: ownerKey, ready: new RingQueue(), lines: 0, size: 0, out: 0, isReady: false };
      this.owners.set(ownerKey, owner);
    }
    owner.lines++;
    const waiting: Line<Item>['waiting'] = [undefined, undefined, undefined];
    const line = { webhookId, owner, waiting, size: 0, out: 0, turn: 0, isReady: false };
    this.lines.set(webhookId, line);
    return line;
  }

  private closeIfEmpty(line: Line<Item>): void {
    if (line.size > 0 || line.out > 0) return;
    this.lines.delete(line.webhookId);
    if (--line.owner.lines === 0) this.owners.delete(line.owner.key);
  }

  private offer(line: Line<Item>): void {
    if (line.isReady || line.size === 0 || !this.hasPlace(line)) return;
    line.isReady = true;
    line.owner.ready.push(line);
    this.offerOwner(line.owner);
  }

  private offerOwner(owner: Owner<Item>): void {
    if (owner.isReady || owner.ready.size === 0 || owner.out >= this.limits.maxPerOwner) return;
    owner.isReady = true;
    this.ready.push(owner);
  }

  /** Passes over lines whose limit fell while they waited for their turn. */
  private nextLine(owner: Owner<Item>): Line<Item> | undefined {
    for (let line = owner.ready.shift(); line; line = owner.ready.shift()) {
      line.isReady = false;
      if (this.hasPlace(line)) return line;
    }
    return undefined;
  }

  private hasPlace(line: Line<Item>): boolean {
    return line.out < this.limits.limitOf(line.webhookId);
  }

  private takeFrom(line: Line<Item>): Item {
    const item = this.shift(line);
    line.out++;
    line.owner.out++;
    this.offer(line);
    this.offerOwner(line.owner);
    return item;
  }

  private shift(line: Line<Item>): Item {
    line.size--;
    line.owner.size--;
    this.waitingCount--;
    return shiftByTurn(line);
  }
}

const priorityOf = ({ priority }: Pick<FairQueueItem, 'priority'>): Priority =>
  priority <= 0 ? 0 : priority >= 2 ? 2 : 1;

function shiftByTurn<Item extends object>(line: Line<Item>): Item {
  const favoured = TURNS[line.turn]!;
  line.turn = (line.turn + 1) % TURNS.length;
  const item =
    line.waiting[favoured]?.shift() ??
    line.waiting[0]?.shift() ??
    line.waiting[1]?.shift() ??
    line.waiting[2]?.shift();
  if (item === undefined) throw new Error('a line said that it holds an item, and holds none');
  return item;
}

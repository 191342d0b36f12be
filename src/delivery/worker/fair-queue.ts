/**
 * Work for many webhooks, taken in turn: each webhook has a line of its own and at most `maxPerLine`
 * items out at once, and the lines that may give an item take turns. So a webhook that is slow or
 * flooded fills its own line and delays nobody else's.
 *
 * Within a line, three priorities share by weight, so the lowest is never starved.
 */
export interface FairQueueItem {
  /** The line it stands in: the webhook. */
  webhookId: string;
  /** 0 high, 1 normal, 2 low. */
  priority: number;
}

/** Of twelve turns of a line, high is asked first in eight, normal in three, low in one. */
const TURNS = [0, 0, 1, 0, 0, 0, 1, 0, 0, 2, 0, 1] as const;

interface Line<Item> {
  waiting: [Item[], Item[], Item[]];
  size: number;
  out: number;
  turn: number;
  isReady: boolean;
}

export class FairQueue<Item extends FairQueueItem> {
  private readonly lines = new Map<string, Line<Item>>();
  private ready: Line<Item>[] = [];
  private head = 0;
  private waitingCount = 0;

  constructor(private readonly maxPerLine: number) {}

  /** Items that wait, in all lines. */
  get size(): number {
    return this.waitingCount;
  }

  /** Items of one webhook that wait or are out. */
  lengthOf(webhookId: string): number {
    const line = this.lines.get(webhookId);
    return line ? line.size + line.out : 0;
  }

  push(item: Item): void {
    const line = this.lines.get(item.webhookId) ?? this.open(item.webhookId);
    line.waiting[priorityOf(item)].push(item);
    line.size++;
    this.waitingCount++;
    this.offer(line);
  }

  /** The next item whose webhook may have one more out; undefined: none may at present. */
  take(): Item | undefined {
    const line = this.ready[this.head];
    if (!line) return undefined;
    this.advance();
    line.isReady = false;
    line.out++;
    line.size--;
    this.waitingCount--;
    const item = shiftByTurn(line);
    this.offer(line);
    return item;
  }

  /** Gives back the place that a taken item had. */
  done(webhookId: string): void {
    const line = this.lines.get(webhookId);
    if (!line) return;
    line.out--;
    this.offer(line);
    if (line.out === 0 && line.size === 0) this.lines.delete(webhookId);
  }

  /** Takes out everything that waits. */
  drain(): Item[] {
    const items: Item[] = [];
    for (const [webhookId, line] of this.lines) {
      for (const waiting of line.waiting) items.push(...waiting.splice(0));
      line.size = 0;
      line.isReady = false;
      if (line.out === 0) this.lines.delete(webhookId);
    }
    this.ready = [];
    this.head = 0;
    this.waitingCount = 0;
    return items;
  }

  private open(webhookId: string): Line<Item> {
    const line: Line<Item> = { waiting: [[], [], []], size: 0, out: 0, turn: 0, isReady: false };
    this.lines.set(webhookId, line);
    return line;
  }

  private offer(line: Line<Item>): void {
    if (line.isReady || line.size === 0 || line.out >= this.maxPerLine) return;
    line.isReady = true;
    this.ready.push(line);
  }

  private advance(): void {
    this.head++;
    // Cut off the taken part only when it is the larger one: constant cost per item in the mean.
    if (this.head > 1_000 && this.head * 2 > this.ready.length) {
      this.ready = this.ready.slice(this.head);
      this.head = 0;
    }
  }
}

const priorityOf = ({ priority }: FairQueueItem): 0 | 1 | 2 =>
  priority <= 0 ? 0 : priority >= 2 ? 2 : 1;

function shiftByTurn<Item>(line: Line<Item>): Item {
  const favoured = TURNS[line.turn++ % TURNS.length]!;
  for (const priority of [favoured, 0, 1, 2] as const) {
    const item = line.waiting[priority].shift();
    if (item !== undefined) return item;
  }
  throw new Error('a line said that it holds an item, and holds none');
}

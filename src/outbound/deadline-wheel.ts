/**
 * Deadlines of many requests under one timer: a hashed wheel (Varghese and Lauck, 1987).
 *
 * Adding and removing cost a few pointer writes, which matters because almost every request ends
 * long before its deadline. The price is precision: an entry is due at the first tick at or after
 * its deadline, never before it. The wheel knows no clock; whoever turns it passes the time.
 */
export interface DeadlineEntry {
  /** In milliseconds of the clock that is passed to the wheel. Fixed while the entry is in it. */
  deadlineMs: number;
  /** Links of the wheel; null while the entry is in none. */
  previousEntry: DeadlineEntry | null;
  nextEntry: DeadlineEntry | null;
}

export class DeadlineWheel<Entry extends DeadlineEntry> {
  private readonly slots: DeadlineEntry[];
  private lastTick: number;
  private count = 0;

  /**
   * @param tickMs    how far apart the slots are
   * @param slotCount entries further ahead than one turn stay in their slot and are passed over
   */
  constructor(
    private readonly tickMs: number,
    slotCount: number,
    nowMs: number,
  ) {
    this.slots = Array.from({ length: slotCount }, emptyRing);
    this.lastTick = Math.floor(nowMs / tickMs);
  }

  /** How many entries have neither been removed nor become due. */
  get size(): number {
    return this.count;
  }

  add(entry: Entry): void {
    // A deadline that has passed already belongs to the next tick: this one will not come again.
    const tick = Math.max(Math.ceil(entry.deadlineMs / this.tickMs), this.lastTick + 1);
    const ring = this.slots[tick % this.slots.length]!;
    entry.previousEntry = ring.previousEntry;
    entry.nextEntry = ring;
    ring.previousEntry!.nextEntry = entry;
    ring.previousEntry = entry;
    this.count++;
  }

  /** Does nothing when the entry is not in the wheel. */
  remove(entry: Entry): void {
    if (entry.nextEntry === null) return;
    unlink(entry);
    this.count--;
  }

  /** Takes out, and returns, everything that is due by now, however long the last call is ago. */
  takeDue(nowMs: number): Entry[] {
    const tick = Math.floor(nowMs / this.tickMs);
    const turns = Math.min(tick - this.lastTick, this.slots.length);
    const due: Entry[] = [];
    for (let step = turns - 1; step >= 0; step--) {
      this.collect(this.slots[(tick - step) % this.slots.length]!, nowMs, due);
    }
    if (turns > 0) this.lastTick = tick;
    return due;
  }

  /** Takes out everything, due or not. */
  takeAll(): Entry[] {
    const all: Entry[] = [];
    for (const ring of this.slots) this.collect(ring, Infinity, all);
    return all;
  }

  private collect(ring: DeadlineEntry, nowMs: number, into: Entry[]): void {
    let entry = ring.nextEntry!;
    while (entry !== ring) {
      const next = entry.nextEntry!;
      if (entry.deadlineMs <= nowMs) {
        unlink(entry);
        this.count--;
        into.push(entry as Entry);
      }
      entry = next;
    }
  }
}

/** A ring of one: the sentinel makes the ends of a list no special case. */
function emptyRing(): DeadlineEntry {
  const ring: DeadlineEntry = { deadlineMs: Infinity, previousEntry: null, nextEntry: null };
  ring.previousEntry = ring;
  ring.nextEntry = ring;
  return ring;
}

function unlink(entry: DeadlineEntry): void {
  entry.previousEntry!.nextEntry = entry.nextEntry;
  entry.nextEntry!.previousEntry = entry.previousEntry;
  entry.previousEntry = null;
  entry.nextEntry = null;
}

/**
 * Of values that follow each other quickly under one key, only the latest of each interval leaves.
 * The first leaves at once; what comes within its interval waits, and is replaced by what comes after
 * it; what waits at the end of the interval leaves, and begins the next one.
 *
 * - No value leaves after a newer one of its key, and none twice.
 * - The latest value of every key leaves, at the end of its interval at the latest.
 * - Memory is bounded: what finds no room to wait leaves at once.
 */
interface Interval<T> {
  key: string;
  lengthMs: number;
  endsAtMs: number;
  waiting: { value: T; size: number } | undefined;
}

export interface LatestOnlyLimits {
  /** Intervals that run at once. */
  keys: number;
  /** Of the sizes of all values that wait. */
  size: number;
}

export interface Offer<T> {
  key: string;
  value: T;
  size: number;
  /** 0: it leaves at once. */
  intervalMs: number;
}

export class LatestOnly<T> {
  private readonly intervals = new Map<string, Interval<T>>();
  /** Intervals of one length, in the order in which they end. */
  private readonly lines = new Map<number, Set<Interval<T>>>();
  private waitingSize = 0;

  constructor(private readonly limits: LatestOnlyLimits) {}

  /** Whether the value leaves now; it waits otherwise. @param nowMs on a clock that never goes back */
  offer({ key, value, size, intervalMs }: Offer<T>, nowMs: number): boolean {
    const running = this.intervals.get(key);
    if (running) this.setWaiting(running, undefined);
    if (running && nowMs < running.endsAtMs && intervalMs > 0 && this.hasRoom(size)) {
      this.setWaiting(running, { value, size });
      return false;
    }
    if (running) this.end(running);
    if (intervalMs > 0 && this.intervals.size < this.limits.keys) {
      this.begin(key, intervalMs, nowMs);
    }
    return true;
  }

  /** What has waited until the end of its interval. */
  due(nowMs: number): T[] {
    const leaving: T[] = [];
    for (const line of this.lines.values()) {
      for (const interval of line) {
        if (interval.endsAtMs > nowMs) break;
        const { key, lengthMs, waiting } = interval;
        this.end(interval);
        if (!waiting) continue;
        leaving.push(waiting.value);
        this.begin(key, lengthMs, nowMs);
      }
    }
    return leaving;
  }

  /** Everything that waits; no interval runs any more. */
  drain(): T[] {
    const waiting = [...this.intervals.values()].flatMap((interval) =>
      interval.waiting ? [interval.waiting.value] : [],
    );
    this.intervals.clear();
    this.lines.clear();
    this.waitingSize = 0;
    return waiting;
  }

  /** When to ask for what is {@link due}; undefined: nothing runs. */
  get nextDueMs(): number | undefined {
    let next: number | undefined;
    for (const line of this.lines.values()) {
      const [first] = line;
      if (first && (next === undefined || first.endsAtMs < next)) next = first.endsAtMs;
    }
    return next;
  }

  private hasRoom(size: number): boolean {
    return this.waitingSize + size <= this.limits.size;
  }

  private begin(key: string, lengthMs: number, nowMs: number): void {
    const interval = { key, lengthMs, endsAtMs: nowMs + lengthMs, waiting: undefined };
    this.intervals.set(key, interval);
    const line = this.lines.get(lengthMs) ?? new Set<Interval<T>>();
    line.add(interval);
    this.lines.set(lengthMs, line);
  }

  private end(interval: Interval<T>): void {
    this.setWaiting(interval, undefined);
    this.intervals.delete(interval.key);
    const line = this.lines.get(interval.lengthMs);
    line?.delete(interval);
    if (line?.size === 0) this.lines.delete(interval.lengthMs);
  }

  private setWaiting(interval: Interval<T>, waiting: Interval<T>['waiting']): void {
    this.waitingSize += (waiting?.size ?? 0) - (interval.waiting?.size ?? 0);
    interval.waiting = waiting;
  }
}

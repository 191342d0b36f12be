/**
 * Of values that follow each other quickly under one key, only the latest of each interval is sent.
 * The first is sent at once; a value within its interval waits, and is replaced by the next one; what
 * waits at the end of the interval is sent, and begins the next interval.
 *
 * - No value is sent after a newer one of its key, and none twice.
 * - The latest value of every key is sent, at the end of its interval at the latest.
 * - Memory is bounded: a value for which there is no capacity is sent at once.
 */
interface Interval<T> {
  key: string;
  lengthMs: number;
  endsAtMs: number;
  waiting: { value: T; size: number } | undefined;
}

export interface LatestOnlyLimits {
  /** Most intervals that run at once. */
  keys: number;
  /** The largest sum of the sizes of all values that wait. */
  size: number;
}

export interface Offer<T> {
  key: string;
  value: T;
  size: number;
  /** 0: it is sent at once. */
  intervalMs: number;
}

export class LatestOnly<T> {
  private readonly intervals = new Map<string, Interval<T>>();
  /** Intervals of one length, in the order in which they end. */
  private readonly byLength = new Map<number, Set<Interval<T>>>();
  private waitingSize = 0;

  constructor(private readonly limits: LatestOnlyLimits) {}

  /** Whether the value is sent now; otherwise it waits. @param nowMs on a clock that never goes back */
  offer({ key, value, size, intervalMs }: Offer<T>, nowMs: number): boolean {
    const running = this.intervals.get(key);
    if (running) this.setWaiting(running, undefined);
    if (running && nowMs < running.endsAtMs && intervalMs > 0 && this.hasCapacity(size)) {
      this.setWaiting(running, { value, size });
      return false;
    }
    if (running) this.end(running);
    if (intervalMs > 0 && this.intervals.size < this.limits.keys) {
      this.begin(key, intervalMs, nowMs);
    }
    return true;
  }

  /** Values whose interval has ended. */
  due(nowMs: number): T[] {
    const sent: T[] = [];
    for (const intervals of this.byLength.values()) {
      for (const interval of intervals) {
        if (interval.endsAtMs > nowMs) break;
        const { key, lengthMs, waiting } = interval;
        this.end(interval);
        if (!waiting) continue;
        sent.push(waiting.value);
        this.begin(key, lengthMs, nowMs);
      }
    }
    return sent;
  }

  /** Everything that waits; ends all intervals. */
  drain(): T[] {
    const waiting = [...this.intervals.values()].flatMap((interval) =>
      interval.waiting ? [interval.waiting.value] : [],
    );
    this.intervals.clear();
    this.byLength.clear();
    this.waitingSize = 0;
    return waiting;
  }

  /** When to call {@link due} next; undefined: no interval runs. */
  get nextDueMs(): number | undefined {
    let next: number | undefined;
    for (const intervals of this.byLength.values()) {
      const [first] = intervals;
      if (first && (next === undefined || first.endsAtMs < next)) next = first.endsAtMs;
    }
    return next;
  }

  private hasCapacity(size: number): boolean {
    return this.waitingSize + size <= this.limits.size;
  }

  private begin(key: string, lengthMs: number, nowMs: number): void {
    const interval = { key, lengthMs, endsAtMs: nowMs + lengthMs, waiting: undefined };
    this.intervals.set(key, interval);
    const intervals = this.byLength.get(lengthMs) ?? new Set<Interval<T>>();
    intervals.add(interval);
    this.byLength.set(lengthMs, intervals);
  }

  private end(interval: Interval<T>): void {
    this.setWaiting(interval, undefined);
    this.intervals.delete(interval.key);
    const intervals = this.byLength.get(interval.lengthMs);
    intervals?.delete(interval);
    if (intervals?.size === 0) this.byLength.delete(interval.lengthMs);
  }

  private setWaiting(interval: Interval<T>, waiting: Interval<T>['waiting']): void {
    this.waitingSize += (waiting?.size ?? 0) - (interval.waiting?.size ?? 0);
    interval.waiting = waiting;
  }
}

import { performance } from 'node:perf_hooks';

/** Connections are looked at this often per interval, so that they do not all beat at once. */
const STEPS = 30;

/**
 * Calls for each of many things, each at its own moment of an interval. One timer for all.
 *
 * Sockets are read before immediates run: after the process was held up, an answer that has arrived
 * meanwhile is known before anybody is called.
 */
export class Heartbeats<T> {
  /** When it is due next. */
  private readonly due = new Map<T, number>();
  private timer: NodeJS.Timeout | undefined;

  constructor(
    private readonly intervalMs: number,
    private readonly beat: (subject: T) => void,
  ) {}

  add(subject: T): void {
    this.due.set(subject, performance.now() + this.intervalMs);
    this.timer ??= setInterval(
      () => setImmediate(() => this.tick()),
      this.intervalMs / STEPS,
    ).unref();
  }

  delete(subject: T): void {
    this.due.delete(subject);
    if (this.due.size > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private tick(): void {
    const now = performance.now();
    for (const [subject, due] of this.due) {
      if (due > now) continue;
      this.due.set(subject, now + this.intervalMs);
      this.beat(subject);
    }
  }
}

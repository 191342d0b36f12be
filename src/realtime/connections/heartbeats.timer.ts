import { performance } from 'node:perf_hooks';

/** The interval is divided into so many steps, so that not all heartbeats are sent at once. */
const STEPS = 30;

/**
 * Calls back once per interval for each of many subjects, each at its own moment. One timer for all.
 *
 * Sockets are read before immediates run: after a pause of the process, answers that have arrived
 * meanwhile are processed before the next call.
 */
export class Heartbeats<T> {
  /** When each subject is due next. */
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

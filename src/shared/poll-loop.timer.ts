export interface PollLoopOptions {
  /**
   * One round of work.
   * @returns milliseconds until the next round, at most `everyMs`; 0: at once; nothing: `everyMs`
   */
  run(): Promise<number | undefined>;
  /** The loop goes on after any error; this one logs it. */
  onError: (error: unknown) => void;
  /** The longest pause: it bounds what a lost notification can cost. */
  everyMs: number;
  /** The pause after an error; absent: `everyMs`. */
  minErrorWaitMs?: number;
  /** Errors in a row make the pause longer, up to this. */
  maxErrorWaitMs: number;
  /** The shortest time between the starts of two rounds that {@link PollLoop.wakeIn} asked for. */
  minGapMs?: number;
}

/** Runs a round of work again and again until it is stopped. Goes on after any error. */
export class PollLoop {
  private loop: Promise<void> | undefined;
  private isStopped = false;
  private startedAtMs = Number.NEGATIVE_INFINITY;
  private nextAtMs = 0;
  private endPause: () => void = () => undefined;

  constructor(private readonly options: PollLoopOptions) {}

  start(): void {
    this.loop ??= this.repeat();
  }

  /** Asks for a round in so many milliseconds, if none is planned before that. */
  wakeIn(ms: number): void {
    const { minGapMs = 0 } = this.options;
    const atMs = Math.max(performance.now() + ms, this.startedAtMs + minGapMs);
    if (atMs >= this.nextAtMs) return;
    this.nextAtMs = atMs;
    this.endPause();
  }

  /** Settles when the round that is running, if any, has ended. */
  async stop(): Promise<void> {
    this.isStopped = true;
    this.endPause();
    await this.loop;
  }

  private async repeat(): Promise<void> {
    let errors = 0;
    while (!this.isStopped) {
      this.startedAtMs = performance.now();
      // Set before the round, so that what is asked for during the round is not lost.
      this.nextAtMs = this.startedAtMs + this.options.everyMs;
      try {
        const waitMs = await this.options.run();
        errors = 0;
        if (waitMs === 0) continue;
        if (waitMs !== undefined) this.wakeIn(waitMs);
      } catch (error) {
        errors++;
        this.options.onError(error);
        const { everyMs, minErrorWaitMs = everyMs, maxErrorWaitMs } = this.options;
        this.nextAtMs = performance.now() + Math.min(minErrorWaitMs * errors, maxErrorWaitMs);
      }
      await this.pause();
    }
  }

  /** Until the next round, which may come nearer meanwhile. */
  private async pause(): Promise<void> {
    while (!this.isStopped) {
      const ms = this.nextAtMs - performance.now();
      if (ms <= 0) return;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.endPause = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

/** Bounds that touch may cross by the rounding of a double. */
const ROUNDING_MS = 0.01;

/**
 * What the database's clock is ahead of this process's monotonic clock, from samples of it (Cristian's
 * algorithm). A sample was read between request and response, so it bounds the offset from both sides;
 * samples that agree narrow the bounds.
 */
export class ClockOffset {
  private least = Number.NEGATIVE_INFINITY;
  private most = Number.POSITIVE_INFINITY;

  /**
   * @param serverMs what the server's clock showed
   * @param sentMs when it was asked, on the monotonic clock
   * @param receivedMs when its answer came
   */
  observe(serverMs: number, sentMs: number, receivedMs: number): void {
    const least = serverMs - receivedMs;
    const most = serverMs - sentMs;
    // The bounds contradict each other: the clock was set, or the clocks run at different speeds.
    const isNew = least > this.most + ROUNDING_MS || most < this.least - ROUNDING_MS;
    this.least = isNew ? least : Math.max(least, this.least);
    this.most = isNew ? most : Math.min(most, this.most);
  }

  /** 0 before the first sample. */
  get ms(): number {
    return Number.isFinite(this.least) ? (this.least + this.most) / 2 : 0;
  }
}

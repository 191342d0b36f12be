/** A budget that refills steadily: so much at once, so much per second in the long run. */
export class TokenBucket {
  private tokens: number;

  /** @param nowMs of any clock that never goes back; it must be the same in every call */
  constructor(
    private readonly perSecond: number,
    private readonly burst: number,
    private nowMs: number,
  ) {
    this.tokens = burst;
  }

  /** @returns 0 if it was granted, else the milliseconds until it would be */
  take(nowMs: number): number {
    this.refill(nowMs);
    if (this.tokens >= 1) {
      this.tokens--;
      return 0;
    }
    return Math.ceil(((1 - this.tokens) * 1000) / this.perSecond);
  }

  /** Whole tokens that are left. */
  get remaining(): number {
    return Math.floor(this.tokens);
  }

  private refill(nowMs: number): void {
    const earned = (Math.max(nowMs - this.nowMs, 0) * this.perSecond) / 1000;
    this.tokens = Math.min(this.tokens + earned, this.burst);
    this.nowMs = Math.max(nowMs, this.nowMs);
  }
}

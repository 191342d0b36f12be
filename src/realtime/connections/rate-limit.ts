/** Budgets for what a client or an owner does. */
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

/** Owners that are remembered. One that has done nothing for so long has its full budget again. */
const MAX_OWNERS = 10_000;

/** A budget for each owner, so that none of them uses up what is meant for all. */
export class OwnerRateLimiter {
  private readonly buckets = new Map<string, TokenBucket>();

  constructor(
    private readonly perSecond: number,
    private readonly burst: number,
  ) {}

  /** Whether there is enough left for one more. @param nowMs of a clock that never goes back */
  take(ownerId: string, nowMs: number): boolean {
    const bucket = this.buckets.get(ownerId) ?? new TokenBucket(this.perSecond, this.burst, nowMs);
    // Inserted again: the order of the map is that of the last use.
    this.buckets.delete(ownerId);
    this.buckets.set(ownerId, bucket);
    const [oldest] = this.buckets.keys();
    if (this.buckets.size > MAX_OWNERS && oldest !== undefined) this.buckets.delete(oldest);
    return bucket.take(nowMs) === 0;
  }
}

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

/**
 * Refusals that a connection may ignore beyond one per granted message; more end it. One burst that was
 * too large does not, a client that goes on sending several times as much as it may does in seconds.
 */
const MAX_IGNORED_REFUSALS = 500;

/** What one connection may send, and how many refusals it may ignore. */
export class MessageBudget {
  private readonly messages: TokenBucket;
  private readonly refusals: TokenBucket;

  /** @param nowMs of a clock that never goes back */
  constructor(perSecond: number, burst: number, nowMs: number) {
    this.messages = new TokenBucket(perSecond, burst, nowMs);
    this.refusals = new TokenBucket(perSecond, MAX_IGNORED_REFUSALS, nowMs);
  }

  /** @returns 0 if a message was granted, else the milliseconds until it would be */
  take(nowMs: number): number {
    return this.messages.take(nowMs);
  }

  /** Counts a refused message. @returns whether it was one too many */
  refuse(nowMs: number): boolean {
    return this.refusals.take(nowMs) > 0;
  }

  /** Whole messages that are left. */
  get remaining(): number {
    return this.messages.remaining;
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

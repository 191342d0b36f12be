import { TokenBucket } from './token-bucket.js';

/** Owners that are remembered; one that has done nothing for that long has its full budget again. */
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
    // The last one used is the last one to be forgotten.
    this.buckets.delete(ownerId);
    this.buckets.set(ownerId, bucket);
    const [oldest] = this.buckets.keys();
    if (this.buckets.size > MAX_OWNERS && oldest !== undefined) this.buckets.delete(oldest);
    return bucket.take(nowMs) === 0;
  }
}

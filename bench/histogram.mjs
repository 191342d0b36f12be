/**
 * Counts of whole microseconds in buckets whose width grows with the value, so that a percentile is
 * off by at most 1/64 of itself, whatever the number of values. Percentiles are rounded up to the
 * end of their bucket, never down; the largest value is kept exactly.
 */
const PRECISION_BITS = 6;
const LINEAR = 2 << PRECISION_BITS;
const LARGEST = 2 ** 31 - 1;
const BUCKETS = bucketOf(LARGEST) + 1;

/**
 * @typedef {object} Summary
 * @property {number} count
 * @property {number | null} p50Us microseconds; null when nothing was recorded
 * @property {number | null} p99Us
 * @property {number | null} maxUs
 */

export class Histogram {
  #counts = new Uint32Array(BUCKETS);
  #count = 0;
  #largest = 0;

  /** How many values were recorded. */
  get count() {
    return this.#count;
  }

  /** @param {number} us microseconds; negative values count as 0, values above 35 minutes as 35 minutes */
  record(us) {
    const value = Math.min(Math.max(Math.ceil(us), 0), LARGEST);
    const bucket = bucketOf(value);
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#count += 1;
    if (value > this.#largest) this.#largest = value;
  }

  /**
   * The percentile: at least this share of all values is not larger than it.
   * @param {number} share above 0, at most 1
   * @returns {number | null} microseconds; null when nothing was recorded
   */
  percentile(share) {
    if (this.#count === 0) return null;
    let remaining = Math.max(Math.ceil(share * this.#count), 1);
    for (let bucket = 0; bucket < BUCKETS; bucket += 1) {
      remaining -= this.#counts[bucket] ?? 0;
      if (remaining <= 0) return Math.min(lastValueOf(bucket), this.#largest);
    }
    return this.#largest;
  }

  /** @returns {Summary} */
  summary() {
    return {
      count: this.#count,
      p50Us: this.percentile(0.5),
      p99Us: this.percentile(0.99),
      maxUs: this.#count === 0 ? null : this.#largest,
    };
  }
}

/** @param {number} value */
function bucketOf(value) {
  if (value < LINEAR) return value;
  const shift = 31 - Math.clz32(value) - PRECISION_BITS;
  return (shift << PRECISION_BITS) + (value >>> shift);
}

/** @param {number} bucket */
function lastValueOf(bucket) {
  if (bucket < LINEAR) return bucket;
  const shift = (bucket >>> PRECISION_BITS) - 1;
  return (bucket - (shift << PRECISION_BITS) + 1) * 2 ** shift - 1;
}

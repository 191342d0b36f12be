/**
 * Records which webhook has received which event, to find missing, duplicate and misdirected
 * deliveries. Events are numbered without gaps over the whole run; the webhooks that an event goes to
 * follow from its number, see `groupOf`.
 */

/** Webhooks of the benchmark; each has an origin of its own. */
export const WEBHOOKS = 100;

/**
 * An event with so many recipients goes to one of 100, or one of 10 groups of webhooks.
 * @param {number} sequence
 * @param {number} fanOut how many webhooks receive it; divides {@link WEBHOOKS}
 */
export const groupOf = (sequence, fanOut) => sequence % (WEBHOOKS / fanOut);

/** A group has one bit per member. */
const MAX_FAN_OUT = 30;

export class Receipts {
  #first = 0;
  #fanOut = 1;
  /** Webhooks of which nothing is expected. @type {Set<number>} */
  #excluded = new Set();
  /** Per group, a bit for each member of which something is. @type {number[]} */
  #expected = [];
  /** Per event, a bit for each member of its group. */
  #marks = new Uint32Array(1 << 16);
  /** Distinct deliveries since {@link begin}. */
  received = 0;
  /** Deliveries that had been received before. */
  duplicates = 0;
  /** Deliveries to a webhook that is not subscribed to the event. */
  misdirected = 0;

  /**
   * Restarts all counts, with events from this number on.
   * @param {number} first
   * @param {number} fanOut
   * @param {readonly number[]} [excluded] webhooks that are not counted
   */
  begin(first, fanOut, excluded = []) {
    if (fanOut > MAX_FAN_OUT) throw new RangeError(`At most ${MAX_FAN_OUT} recipients per event`);
    this.#first = first;
    this.#fanOut = fanOut;
    this.#excluded = new Set(excluded);
    this.#expected = Array.from({ length: WEBHOOKS / fanOut }, () => 2 ** fanOut - 1);
    for (const webhook of this.#excluded) {
      const group = Math.floor(webhook / fanOut);
      this.#expected[group] = (this.#expected[group] ?? 0) & ~(1 << (webhook % fanOut));
    }
    this.#marks.fill(0);
    this.received = 0;
    this.duplicates = 0;
    this.misdirected = 0;
  }

  /**
   * @param {number} sequence
   * @param {number} webhook index of the receiver, from 0
   */
  record(sequence, webhook) {
    if (this.#excluded.has(webhook)) return;
    const index = sequence - this.#first;
    if (index < 0) {
      // A repeated delivery of an earlier window, which ended only after everything had arrived.
      this.duplicates += 1;
      return;
    }
    if (Math.floor(webhook / this.#fanOut) !== groupOf(sequence, this.#fanOut)) {
      this.misdirected += 1;
      return;
    }
    if (index >= this.#marks.length) this.#grow(index);
    const bit = 1 << (webhook % this.#fanOut);
    const marks = this.#marks[index] ?? 0;
    if (marks & bit) {
      this.duplicates += 1;
    } else {
      this.#marks[index] = marks | bit;
      this.received += 1;
    }
  }

  /**
   * Deliveries that are expected and have not been received.
   * @param {number} events how many were published since {@link begin}
   * @param {readonly number[]} refused the numbers of those that were not accepted: no delivery is expected for them
   */
  missing(events, refused) {
    const refusedOnes = new Set(refused);
    let missing = 0;
    for (let index = 0; index < events; index += 1) {
      const sequence = this.#first + index;
      const expected = this.#expected[groupOf(sequence, this.#fanOut)] ?? 0;
      const absent = expected & ~(this.#marks[index] ?? 0);
      if (absent !== 0 && !refusedOnes.has(sequence)) missing += ones(absent);
    }
    return missing;
  }

  /** @param {number} index */
  #grow(index) {
    const larger = new Uint32Array(2 ** Math.ceil(Math.log2(index + 1)));
    larger.set(this.#marks);
    this.#marks = larger;
  }
}

/** @param {number} bits */
function ones(bits) {
  let count = 0;
  for (let rest = bits; rest !== 0; rest &= rest - 1) count += 1;
  return count;
}

/** So many windows without a refusal, and the rate is raised, and again after each further one. */
const CLEAN_WINDOWS = 10;
const RAISE = 1.25;
/** A receiver that counts in the windows of a clock asks for the rest of one: longer pauses count longer. */
const PERIOD_DECAY = 0.8;
/** Below what was accepted, because the clocks differ a little, and a refusal costs a whole pause. */
const MARGIN = 0.95;
/** What a measurement may take from the rate: the webhook may have had little to send. */
const LARGEST_CUT = 0.5;
/** Longer than so many pauses, a window says nothing about the rate: there was little to send. */
const MAX_PAUSES_PER_WINDOW = 4;
/** A pace that has avoided refusals for so many pauses is worth it. */
const PROVEN_PAUSES = 6;
/** Refused so often in a row while it kept to a measured pace, and the pace is not the reason. */
const MAX_MISSES = 2;
/** So many pauses later the pace is measured again; twice as many after each time that it did not help. */
const MIN_PAUSES_UNMEASURED = 8;
const MAX_PAUSES_UNMEASURED = 256;
/** While the rate is not known, each accepted request permits so many more. */
const PERMITTED_BY_ONE = 2;
/** After a pause, at least one request per minute: what the receiver asks for it has got by the pause. */
const MIN_RATE = 1 / 60_000;
/** The same while the rate is not known. */
const MIN_PROBING_RATE = 1 / 10_000;
/** Requests that may start together, as time. */
const BURST_MS = 200;
/** In requests per ms: a webhook that takes more is not limited. */
const UNLIMITED = 1;

/**
 * How fast a node sends to a receiver that answers with 429: as fast as it has accepted requests from
 * this node, between the end of one pause and the end of the next. It is not limited before the first
 * pause, nor when it has refused nothing for long. While its rate is not known, each request that it
 * accepts permits two more.
 *
 * That span contains the pause, so such a pace is never faster than sending and pausing: it is worth it
 * only if it avoids the refusals. A receiver that refuses as before (some of the requests at random, or
 * when others use up what they share with us) is not limited beyond its pauses, and the slow start after
 * each; now and then the pace is tried again.
 *
 * Requests are spread over time and not sent in bursts: so they suit a receiver that counts in
 * windows, one that counts by a token bucket, and one that counts requests in flight. Every node
 * measures its own share.
 */
export class Pace {
  private mode: 'unlimited' | 'probing' | 'measured' = 'unlimited';
  /** Requests per ms; while it is probing, those that no accepted one has permitted. */
  private rate = 0;
  private tokens = 0;
  private filledAtMs = 0;
  /** The pause at the end of the present window; undefined: none was asked for yet. */
  private presentPause: { startMs: number; untilMs: number } | undefined;
  private windowStartMs = 0;
  /** The longest of the last pauses. */
  private periodMs = 0;
  private accepted = 0;
  private raiseAtMs = 0;
  /** Whether the rate is above that of the beginning of the window. */
  private isRaised = false;
  private misses = 0;
  /** Pauses until the pace is measured again. */
  private unmeasured = 0;
  private nextUnmeasured = MIN_PAUSES_UNMEASURED;

  /** The receiver asks for a pause, or for a longer one: until then the present window lasts. */
  pause(nowMs: number, untilMs: number): void {
    this.closeWindow(nowMs);
    this.presentPause ??= { startMs: nowMs, untilMs };
    this.presentPause.untilMs = untilMs;
  }

  /** A request was answered with 2xx. */
  accept(): void {
    this.accepted++;
    if (this.mode === 'probing') this.tokens += PERMITTED_BY_ONE;
  }

  /** Permits so many of the wanted requests now. */
  take(wanted: number, nowMs: number): number {
    this.fill(nowMs);
    if (this.mode === 'unlimited') return wanted;
    const taken = Math.min(Math.floor(this.tokens), wanted);
    this.tokens -= taken;
    return taken;
  }

  /** So many of those that were permitted were not made. */
  returnUnused(count: number): void {
    this.tokens += count;
  }

  /** Milliseconds until one more request is permitted, at the latest. */
  nextMs(nowMs: number): number {
    this.fill(nowMs);
    if (this.mode === 'unlimited' || this.tokens >= 1) return 0;
    return Math.ceil((1 - this.tokens) / this.rate);
  }

  /** Whether it limits the webhook. */
  isActive(nowMs: number): boolean {
    this.fill(nowMs);
    return this.mode !== 'unlimited' || this.presentPause !== undefined;
  }

  /** Not before the pause is over: answers to requests that were in flight at its start count, too. */
  private closeWindow(nowMs: number): void {
    if (this.presentPause === undefined || nowMs < this.presentPause.untilMs) return;
    const { startMs, untilMs } = this.presentPause;
    const pauseMs = Math.max(untilMs - startMs, 1);
    const measured = this.isWorthwhile((startMs - this.windowStartMs) / pauseMs)
      ? this.measure(pauseMs, untilMs - this.windowStartMs)
      : undefined;
    this.mode = measured === undefined ? 'probing' : 'measured';
    this.rate = Math.max(measured ?? MIN_PROBING_RATE, MIN_RATE);
    this.isRaised = false;
    this.presentPause = undefined;
    this.windowStartMs = untilMs;
    this.periodMs = Math.max(pauseMs, this.periodMs * PERIOD_DECAY);
    this.accepted = 0;
    this.tokens = 1;
    this.filledAtMs = untilMs;
    this.raiseAtMs = untilMs + CLEAN_WINDOWS * this.periodMs;
  }

  /**
   * Whether a pace avoids refusals, as far as is known at the end of a window.
   * @param pauses how long the window was without its pause, as multiples of that
   */
  private isWorthwhile(pauses: number): boolean {
    if (this.unmeasured > 0) return --this.unmeasured === 0;
    if (this.mode !== 'measured') return true;
    if (pauses >= PROVEN_PAUSES) {
      this.misses = 0;
      this.nextUnmeasured = MIN_PAUSES_UNMEASURED;
    } else if (++this.misses >= MAX_MISSES) {
      this.misses = 0;
      this.unmeasured = this.nextUnmeasured;
      this.nextUnmeasured = Math.min(2 * this.nextUnmeasured, MAX_PAUSES_UNMEASURED);
      return false;
    }
    return true;
  }

  /** @returns undefined: the window says nothing about the rate */
  private measure(pauseMs: number, spanMs: number): number | undefined {
    if (this.mode === 'unlimited' || this.accepted === 0 || spanMs <= 0) return undefined;
    const measured = (MARGIN * this.accepted) / spanMs;
    // After a raise it was refused: the rate before it was a good one.
    const atLeast = this.isRaised ? MARGIN / RAISE : LARGEST_CUT;
    if (this.mode === 'measured') return Math.max(measured, this.rate * atLeast);
    return spanMs > MAX_PAUSES_PER_WINDOW * pauseMs ? undefined : measured;
  }

  private fill(nowMs: number): void {
    this.closeWindow(nowMs);
    for (; this.mode !== 'unlimited' && nowMs >= this.raiseAtMs; this.raiseAtMs += this.periodMs) {
      this.rate *= RAISE;
      this.isRaised = true;
      if (this.mode === 'probing' || this.rate >= UNLIMITED) this.mode = 'unlimited';
    }
    if (this.mode === 'unlimited') return;
    // The clock may have stepped back.
    this.filledAtMs = Math.min(this.filledAtMs, nowMs + this.periodMs);
    const elapsedMs = Math.max(nowMs - this.filledAtMs, 0);
    const capacity = Math.max(this.rate * BURST_MS, 1);
    // What accepted requests have permitted is not lost.
    if (this.tokens < capacity) {
      this.tokens = Math.min(this.tokens + elapsedMs * this.rate, capacity);
    }
    this.filledAtMs = Math.max(this.filledAtMs, nowMs);
  }
}

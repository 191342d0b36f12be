/** So many windows without a refusal, and the rate is raised, and again after each further one. */
const CLEAN_WINDOWS = 10;
const RAISE = 1.25;
/** Below what was accepted, because the clocks differ a little, and a refusal costs a whole pause. */
const MARGIN = 0.95;
/** What a measurement may take from the rate: the webhook may have had little to send. */
const LARGEST_CUT = 0.5;
/** Longer than so many pauses, a window says nothing about the rate: there was little to send. */
const MAX_PAUSES_PER_WINDOW = 4;
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
  private windowMs = 0;
  private accepted = 0;
  private raiseAtMs = 0;

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
    const measured = this.measure(pauseMs, untilMs - this.windowStartMs);
    this.mode = measured === undefined ? 'probing' : 'measured';
    this.rate = Math.max(measured ?? MIN_PROBING_RATE, MIN_RATE);
    this.presentPause = undefined;
    this.windowStartMs = untilMs;
    this.windowMs = pauseMs;
    this.accepted = 0;
    this.tokens = 1;
    this.filledAtMs = untilMs;
    this.raiseAtMs = untilMs + CLEAN_WINDOWS * pauseMs;
  }

  /** @returns undefined: the window says nothing about the rate */
  private measure(pauseMs: number, spanMs: number): number | undefined {
    if (this.mode === 'unlimited' || this.accepted === 0 || spanMs <= 0) return undefined;
    const measured = (MARGIN * this.accepted) / spanMs;
    if (this.mode === 'measured') return Math.max(measured, this.rate * LARGEST_CUT);
    return spanMs > MAX_PAUSES_PER_WINDOW * pauseMs ? undefined : measured;
  }

  private fill(nowMs: number): void {
    this.closeWindow(nowMs);
    for (; this.mode !== 'unlimited' && nowMs >= this.raiseAtMs; this.raiseAtMs += this.windowMs) {
      this.rate *= RAISE;
      if (this.mode === 'probing' || this.rate >= UNLIMITED) this.mode = 'unlimited';
    }
    if (this.mode === 'unlimited') return;
    // The clock may have stepped back.
    this.filledAtMs = Math.min(this.filledAtMs, nowMs + this.windowMs);
    const elapsedMs = Math.max(nowMs - this.filledAtMs, 0);
    const capacity = Math.max(this.rate * BURST_MS, 1);
    // What accepted requests have permitted is not lost.
    if (this.tokens < capacity) {
      this.tokens = Math.min(this.tokens + elapsedMs * this.rate, capacity);
    }
    this.filledAtMs = Math.max(this.filledAtMs, nowMs);
  }
}

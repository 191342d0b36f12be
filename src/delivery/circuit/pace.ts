/** So many windows without a refusal, and the rate is raised, and again after each further one. */
const CLEAN_WINDOWS = 10;
const RAISE = 1.25;
/** Below what was accepted, because the clocks differ a little, and a refusal costs a whole pause. */
const MARGIN = 0.95;
/** What a measurement may take from the rate: the webhook may have had little to send. */
const LARGEST_CUT = 0.5;
/** Longer than so many pauses, a window says nothing about the rate: there was little to send. */
const MAX_PAUSES_PER_WINDOW = 4;
/** Requests that may start together, as time. */
const BURST_MS = 200;
/** In requests per ms: a webhook that takes more is not limited. */
const UNLIMITED = 1;

/**
 * How fast a node sends to a receiver that answers with 429: as fast as it has accepted requests from
 * this node, between the end of one pause and the end of the next. It is not limited before that is
 * known, nor when it has refused nothing for long.
 *
 * Requests are spread over time and not sent in bursts: so they suit a receiver that counts in
 * windows, one that counts by a token bucket, and one that counts requests in flight. Every node
 * measures its own share.
 */
export class Pace {
  /** Requests per ms; undefined: not limited. */
  private rate: number | undefined;
  private tokens = 0;
  private filledAtMs = 0;
  private windowStartMs: number | undefined;
  private windowMs = 0;
  private accepted = 0;
  private raiseAtMs = 0;

  /** The receiver asks for a pause: until then the present window lasts. */
  pause(nowMs: number, untilMs: number): void {
    const pauseMs = Math.max(untilMs - nowMs, 1);
    const isRunning = this.windowStartMs !== undefined && nowMs >= this.windowStartMs;
    if (isRunning) this.measure(pauseMs, untilMs);
    this.windowStartMs = untilMs;
    this.windowMs = pauseMs;
    this.accepted = 0;
    this.tokens = 1;
    this.filledAtMs = untilMs;
    this.raiseAtMs = untilMs + CLEAN_WINDOWS * pauseMs;
  }

  /** A request was answered with 2xx. */
  accept(): void {
    this.accepted++;
  }

  /** Permits so many of the wanted requests now. */
  take(wanted: number, nowMs: number): number {
    this.fill(nowMs);
    if (this.rate === undefined) return wanted;
    const taken = Math.min(Math.floor(this.tokens), wanted);
    this.tokens -= taken;
    return taken;
  }

  /** Milliseconds until one more request is permitted. */
  nextMs(nowMs: number): number {
    this.fill(nowMs);
    if (this.rate === undefined || this.tokens >= 1) return 0;
    return Math.ceil((1 - this.tokens) / this.rate);
  }

  /** Whether it limits the webhook, or is about to find out by how much. */
  isActive(nowMs: number): boolean {
    this.fill(nowMs);
    return this.rate !== undefined || (this.windowStartMs !== undefined && nowMs < this.raiseAtMs);
  }

  private measure(pauseMs: number, untilMs: number): void {
    const spanMs = untilMs - this.windowStartMs!;
    // Refused as a whole, the window says nothing about the rate; then the pauses get longer.
    if (this.accepted === 0) return;
    if (spanMs > MAX_PAUSES_PER_WINDOW * pauseMs && this.rate === undefined) return;
    const measured = (MARGIN * this.accepted) / spanMs;
    this.rate = Math.max(measured, (this.rate ?? 0) * LARGEST_CUT);
  }

  private fill(nowMs: number): void {
    for (; this.rate !== undefined && nowMs >= this.raiseAtMs; this.raiseAtMs += this.windowMs) {
      this.rate = this.rate * RAISE < UNLIMITED ? this.rate * RAISE : undefined;
    }
    if (this.rate === undefined) return;
    // The clock may have stepped back.
    this.filledAtMs = Math.min(this.filledAtMs, nowMs + this.windowMs);
    const elapsedMs = Math.max(nowMs - this.filledAtMs, 0);
    const capacity = Math.max(this.rate * BURST_MS, 1);
    this.tokens = Math.min(this.tokens + elapsedMs * this.rate, capacity);
    this.filledAtMs = Math.max(this.filledAtMs, nowMs);
  }
}

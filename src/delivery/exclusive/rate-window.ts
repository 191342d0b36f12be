export interface RateLimit {
  /** Requests in any window. */
  max: number;
  /** Length of the window. */
  perMs: number;
}

/** What is stored with the webhook lease: ages count from the moment of writing. */
export interface RateState {
  agesMs: number[];
  /** Permitted and perhaps sent; only their worker knows when. */
  reserved: number;
}

/** A request without a response for so long is assumed to have arrived then. */
const ARRIVAL_MS = 500;

/**
 * The requests of the last `perMs`, so that no window of that length ever contains more than `max`,
 * wherever it begins. A sliding log: counters per interval let twice as many through around their edges.
 *
 * A request counts from its reservation, because it may be sent at any moment after that, until
 * `perMs` after the latest moment at which it can have arrived.
 */
export class RateWindow {
  /** When each request had arrived at the latest, ascending. */
  private times: number[] = [];
  private reserved = 0;

  /**
   * Continues the window of the previous node. It may have sent its reserved requests until a moment
   * ago, so all of them count as sent now.
   * @param elapsedMs since the state was written
   */
  static restored(state: RateState, elapsedMs: number, nowMs: number): RateWindow {
    const window = new RateWindow();
    const known = state.agesMs.map((age) => nowMs - age - elapsedMs);
    const unknown = Array.from({ length: state.reserved }, () => nowMs);
    window.times = [...known, ...unknown].sort((a, b) => a - b);
    return window;
  }

  /** How many more may be sent now. */
  free({ max, perMs }: RateLimit, nowMs: number): number {
    const gone = this.times.findIndex((time) => time + perMs > nowMs);
    this.times.splice(0, gone === -1 ? this.times.length : gone);
    return Math.max(max - this.times.length - this.reserved, 0);
  }

  /** When one more may be sent; undefined: not before a reserved request has been sent. */
  nextFreeMs(limit: RateLimit, nowMs: number): number | undefined {
    if (this.free(limit, nowMs) > 0) return nowMs;
    const last = this.times[this.times.length + this.reserved - limit.max];
    return last === undefined ? undefined : last + limit.perMs;
  }

  reserve(count: number): void {
    this.reserved += count;
  }

  /** A reserved request was sent, and has ended. */
  sent(startedMs: number, endedMs: number): void {
    this.reserved--;
    this.count(Math.min(endedMs, startedMs + ARRIVAL_MS));
  }

  /**
   * A request was sent once more without a reservation, because its connection had been closed. It can
   * have arrived at any moment until its end.
   */
  sentAgain(endedMs: number): void {
    this.count(endedMs);
  }

  private count(arrivedMs: number): void {
    let index = this.times.length;
    while (index > 0 && this.times[index - 1]! > arrivedMs) index--;
    this.times.splice(index, 0, arrivedMs);
  }

  /** Reserved requests were not sent. */
  returnPermit(count: number): void {
    this.reserved -= count;
  }

  state(nowMs: number): RateState {
    return { agesMs: this.times.map((time) => Math.round(nowMs - time)), reserved: this.reserved };
  }
}

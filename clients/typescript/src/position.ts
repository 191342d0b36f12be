/**
 * Where a client is in the stream of events: which it has had, and from which one to go on.
 *
 * Two promises. **Nothing twice:** an id is handed over once, as long as it is among the latest
 * `windowSize` that were handed over, or still waits for its turn. **Nothing skipped:** every event
 * that was sent before the cursor has been handed over. The second is why the cursor stands still
 * while a replay is under way: a live event that comes in between is newer than events that are
 * still to come, and a cursor on it would lose them if the connection ended now. What is replayed
 * again after such an end is in the window, and dropped.
 *
 * Live events come nearly in order: one may be on its way from another process, or be found seconds
 * later after an outage, when a newer one is here already. A connection that ends in between must not
 * lose it, so after a short absence the client asks for a few seconds more than it has missed.
 *
 * A replay longer than the window drags the cursor along, `windowSize` events behind: so it gets to
 * its end however often it is interrupted, and still nothing comes twice.
 */
export interface PositionOptions {
  windowSize: number;
  overlapMs: number;
  /** Milliseconds on a clock that never goes back. */
  now(): number;
  onMove(lastEventId: string): void;
}

interface Place {
  id: string;
  /** When the cursor came there. */
  at: number;
}

export class Position {
  /** Whether anybody has begun to listen from here. */
  isInUse = false;
  private cursor: string | undefined;
  private latest: string | undefined;
  /** The replay that is under way: 0 for none. */
  private heldFor = 0;
  private replays = 0;
  /** Where the cursor has been, newest first: now, and at two moments an overlap apart. */
  private places: Place[] = [];
  private readonly waiting = new Set<string>();
  private readonly handed = new Set<string>();
  /** What was known when the present replay was asked for: none of it may come a second time. */
  private pinned: ReadonlySet<string> = new Set();
  private pinnedAt: string | undefined;

  /** @param after the event to go on after; undefined: from now on */
  constructor(
    after: string | undefined,
    private readonly options: PositionOptions,
  ) {
    this.cursor = after;
    if (after === undefined) return;
    this.handed.add(after);
    this.places = [{ id: after, at: -Infinity }];
  }

  /** The event to go on after. Undefined until there was one. */
  get lastEventId(): string | undefined {
    return this.cursor;
  }

  /** The event to ask the server to go on after: one that is an overlap old, if there is one. */
  get resumeAfter(): string | undefined {
    // What the window has forgotten would come a second time.
    const known = this.places.filter(({ id }) => this.isKnown(id));
    const oldEnough = known.find(({ at }) => at <= this.options.now() - this.options.overlapMs);
    return (oldEnough ?? known.at(-1))?.id ?? this.cursor;
  }

  /** Notes an event that came. @returns whether it is to be handed over */
  receive(id: string): boolean {
    if (this.isKnown(id)) return false;
    this.waiting.add(id);
    return true;
  }

  /** The application has had it. Called in the order in which {@link receive} said yes. */
  handOver(id: string): void {
    this.waiting.delete(id);
    this.handed.add(id);
    this.latest = id;
    if (this.handed.size > this.options.windowSize) this.forgetOldest();
    if (this.heldFor === 0) this.moveTo(id);
  }

  /**
   * A replay is asked for: what comes from now on may be older or newer than what is still to come.
   *
   * @returns names it
   */
  hold(): number {
    this.replays++;
    this.heldFor = this.replays;
    this.pin();
    return this.heldFor;
  }

  /** The replay is complete, and handed over. One that another has overtaken says nothing. */
  settle(replay: number): void {
    if (replay !== this.heldFor) return;
    this.heldFor = 0;
    this.pinned = new Set();
    if (this.latest !== undefined) this.moveTo(this.latest);
  }

  private isKnown(id: string): boolean {
    return this.waiting.has(id) || this.handed.has(id) || this.pinned.has(id);
  }

  /**
   * Many events may wait for slow handlers, and go through the window while the replay that brings
   * them again is under way. If the replay before got nowhere, so may those that were pinned then.
   */
  private pin(): void {
    const before = this.cursor === this.pinnedAt ? this.pinned : [];
    this.pinned = new Set([...before, ...this.handed, ...this.waiting]);
    this.pinnedAt = this.cursor;
  }

  /** A cursor further back than the window would let forgotten events come a second time. */
  private forgetOldest(): void {
    const [oldest] = this.handed;
    if (oldest === undefined) return;
    const isBehind = this.cursor !== undefined && !this.handed.has(this.cursor);
    this.handed.delete(oldest);
    if (this.heldFor === 0 || !isBehind) return;
    this.moveTo(oldest);
    // Any place before this one would bring back what was forgotten.
    this.places = [];
  }

  private moveTo(id: string): void {
    if (id === this.cursor) return;
    this.cursor = id;
    this.mark(id);
    this.options.onMove(id);
  }

  private mark(id: string): void {
    const at = this.options.now();
    const [, recent = this.places[0], older] = this.places;
    const isDue = recent !== undefined && at - recent.at >= this.options.overlapMs;
    const kept = isDue ? [{ id, at }, recent] : [recent, older];
    this.places = [{ id, at }, ...kept.filter((place) => place !== undefined)];
  }
}

/**
 * The position of a client in the stream of events: which ones it has handled, and after which one to
 * resume.
 *
 * Two guarantees. **Nothing twice:** an id is handled once, as long as it is among the latest
 * `windowSize` handled ids, or still waits for its handler. **Nothing skipped:** every event that was
 * sent before the cursor has been handled. Therefore the cursor does not move during a replay: a live
 * event that arrives meanwhile is newer than events of the replay that have not arrived yet, and a
 * cursor on it would lose them if the connection ended now. Events that are replayed again after such
 * an end are in the window, and dropped.
 *
 * Live events arrive nearly in order: one may come late from another node, or seconds later after an
 * outage, when a newer one has already arrived. A connection that ends in between must not lose it, so
 * after a short absence the client resumes from a few seconds before its last event.
 *
 * In a replay longer than the window, the cursor follows `windowSize` events behind: so the replay
 * completes in spite of interruptions, and still no event is handled twice.
 */
export interface PositionOptions {
  windowSize: number;
  overlapMs: number;
  /** Milliseconds on a clock that never goes back. */
  now(): number;
  onMove(lastEventId: string): void;
}

interface Mark {
  id: string;
  /** When the cursor moved there. */
  at: number;
}

export class Position {
  /** Whether a subscription has begun at this position. */
  isInUse = false;
  private cursor: string | undefined;
  private latest: string | undefined;
  /** The number of the replay in progress; 0: none. */
  private activeReplay = 0;
  private replays = 0;
  /** Earlier cursors, newest first: the current one, and two that are an overlap apart. */
  private marks: Mark[] = [];
  private readonly waiting = new Set<string>();
  private readonly handled = new Set<string>();
  /** The ids known when the current replay was requested: none of them may be handled again. */
  private pinned: ReadonlySet<string> = new Set();
  private pinnedAt: string | undefined;

  /** @param after the event, or position, to resume after; undefined: from now on */
  constructor(
    after: string | undefined,
    private readonly options: PositionOptions,
  ) {
    if (after !== undefined) this.startAt(after);
  }

  /** The event to go on after. Undefined until there was one. */
  get lastEventId(): string | undefined {
    return this.cursor;
  }

  /** The event to resume after: one that is an overlap old, if there is one. */
  get resumeAfter(): string | undefined {
    // Events before one that the window has dropped would be handled again.
    const known = this.marks.filter(({ id }) => this.isKnown(id));
    const oldEnough = known.find(({ at }) => at <= this.options.now() - this.options.overlapMs);
    return (oldEnough ?? known.at(-1))?.id ?? this.cursor;
  }

  /**
   * There is no event to resume after, but a place in the log that the server has named.
   *
   * @param unknown a cursor that the log does not reach back to any more; undefined: there is none
   */
  begin(position: string, unknown: string | undefined): void {
    if (this.cursor !== unknown) return;
    this.startAt(position);
    this.options.onMove(position);
  }

  /** Records an event that arrived. @returns whether it is to be handled */
  receive(id: string): boolean {
    if (this.isKnown(id)) return false;
    this.waiting.add(id);
    return true;
  }

  /** The handlers have finished. Called in the order in which {@link receive} returned true. */
  markHandled(id: string): void {
    this.waiting.delete(id);
    this.handled.add(id);
    this.latest = id;
    if (this.handled.size > this.options.windowSize) this.forgetOldest();
    if (this.activeReplay === 0) this.moveTo(id);
  }

  /**
   * A replay is requested: events from now on may arrive in any order.
   *
   * @returns its number
   */
  beginReplay(): number {
    this.replays++;
    this.activeReplay = this.replays;
    this.pin();
    return this.activeReplay;
  }

  /** The replay is complete and handled. Ignored if a newer replay has begun. */
  endReplay(replay: number): void {
    if (replay !== this.activeReplay) return;
    this.activeReplay = 0;
    this.pinned = new Set();
    if (this.latest !== undefined) this.moveTo(this.latest);
  }

  private startAt(after: string): void {
    this.cursor = after;
    this.handled.add(after);
    this.marks = [{ id: after, at: -Infinity }];
  }

  private isKnown(id: string): boolean {
    return this.waiting.has(id) || this.handled.has(id) || this.pinned.has(id);
  }

  /**
   * Many events may wait for slow handlers, and leave the window before the replay repeats them. If the
   * cursor has not moved since the last replay, the ids of that one are kept too.
   */
  private pin(): void {
    const before = this.cursor === this.pinnedAt ? this.pinned : [];
    this.pinned = new Set([...before, ...this.handled, ...this.waiting]);
    this.pinnedAt = this.cursor;
  }

  /** Moves the cursor along if it falls behind the window: dropped ids would be handled again. */
  private forgetOldest(): void {
    const [oldest] = this.handled;
    if (oldest === undefined) return;
    const isBehind = this.cursor !== undefined && !this.handled.has(this.cursor);
    this.handled.delete(oldest);
    if (this.activeReplay === 0 || !isBehind) return;
    this.moveTo(oldest);
    // Resuming from any earlier mark would repeat events that the window has dropped.
    this.marks = [];
  }

  private moveTo(id: string): void {
    if (id === this.cursor) return;
    this.cursor = id;
    this.mark(id);
    this.options.onMove(id);
  }

  private mark(id: string): void {
    const at = this.options.now();
    const [, recent = this.marks[0], older] = this.marks;
    const isDue = recent !== undefined && at - recent.at >= this.options.overlapMs;
    const kept = isDue ? [{ id, at }, recent] : [recent, older];
    this.marks = [{ id, at }, ...kept.filter((mark) => mark !== undefined)];
  }
}

import type { Frame } from '../fanout/frame.js';

/** Ids that are remembered as replayed; older ones cannot arrive as live events any more. */
const MAX_REMEMBERED = 20_000;

/**
 * Keeps live events of a connection back, in order, until it has been sent what it missed, and drops
 * those that were replayed already.
 */
export class ReplayBuffer {
  /** Live events that wait, by id, in the order in which they came. */
  private readonly waiting = new Map<string, Frame>();
  private readonly replayed = new Set<string>();
  private isOpen = false;
  private bytes = 0;

  /** Bytes that are kept back. */
  get waitingBytes(): number {
    return this.bytes;
  }

  /** Whether a live event is kept back, or dropped because it was replayed. */
  stops(eventId: string, frame: Frame): boolean {
    if (this.replayed.has(eventId)) return true;
    if (this.isOpen) return false;
    if (!this.waiting.has(eventId)) {
      this.waiting.set(eventId, frame);
      this.bytes += frame.bytes.length;
    }
    return true;
  }

  /** The event is sent from the log. False: it was sent before. */
  replays(eventId: string): boolean {
    if (this.replayed.has(eventId)) return false;
    if (this.replayed.size >= MAX_REMEMBERED) this.forgetOldest();
    this.replayed.add(eventId);
    this.bytes -= this.waiting.get(eventId)?.bytes.length ?? 0;
    this.waiting.delete(eventId);
    return true;
  }

  /** Returns and removes the live events that came before this one, if it has come live as well. */
  before(eventId: string): Frame[] {
    if (!this.waiting.has(eventId)) return [];
    const earlier: Frame[] = [];
    for (const [id, frame] of this.waiting) {
      if (id === eventId) break;
      this.replays(id);
      earlier.push(frame);
    }
    return earlier;
  }

  /** Returns the events that were kept back, to be sent now. From here on only duplicates are stopped. */
  open(): Frame[] {
    this.isOpen = true;
    const frames = [...this.waiting.values()];
    this.waiting.clear();
    this.bytes = 0;
    return frames;
  }

  /** Sets keep the order of insertion. */
  private forgetOldest(): void {
    for (const id of this.replayed) {
      this.replayed.delete(id);
      return;
    }
  }
}

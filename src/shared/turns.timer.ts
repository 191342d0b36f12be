import { setImmediate as turn } from 'node:timers/promises';

/** Long enough to get ahead, short enough for nothing else to notice. */
const TURN_MS = 5;

/** Divides long work into turns, between which the process does something else. */
export class Turns {
  private untilMs = performance.now() + TURN_MS;

  /** To be asked between two steps. Set: the turn is over, and the next one begins when it resolves. */
  get pause(): Promise<void> | undefined {
    if (performance.now() < this.untilMs) return undefined;
    return turn().then(() => {
      this.untilMs = performance.now() + TURN_MS;
    });
  }
}

/**
 * Runs one thing after the other, in the order given. Things that need no waiting are run at once,
 * so that a handler without promises sees an event in the turn in which it came.
 */
export class HandOver {
  private readonly queue: (() => Promise<unknown> | void)[] = [];
  private isRunning = false;

  /** @param thing returns a promise if it takes time; neither may it throw nor the promise reject */
  push(thing: () => Promise<unknown> | void): void {
    this.queue.push(thing);
    if (!this.isRunning) void this.run();
  }

  /** Forgets what has not begun. */
  clear(): void {
    this.queue.length = 0;
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    for (let thing = this.queue.shift(); thing; thing = this.queue.shift()) {
      const result = thing();
      if (result) await result;
    }
    this.isRunning = false;
  }
}

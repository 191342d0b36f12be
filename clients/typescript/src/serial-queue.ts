/**
 * Runs tasks one after the other, in the order given. A task without a promise runs at once, so that
 * a synchronous handler gets an event in the same turn of the event loop in which it arrived.
 */
export class SerialQueue {
  private readonly queue: (() => Promise<unknown> | void)[] = [];
  private isRunning = false;

  /** @param task returns a promise if it takes time; it must not throw, and the promise must not reject */
  push(task: () => Promise<unknown> | void): void {
    this.queue.push(task);
    if (!this.isRunning) void this.run();
  }

  /** Drops the tasks that have not begun. */
  clear(): void {
    this.queue.length = 0;
  }

  private async run(): Promise<void> {
    this.isRunning = true;
    for (let task = this.queue.shift(); task; task = this.queue.shift()) {
      const result = task();
      if (result) await result;
    }
    this.isRunning = false;
  }
}

/** Limits how many tasks run at a time; the others wait in order. */
export class Semaphore {
  private running = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly max: number) {}

  async take<T>(run: () => Promise<T>): Promise<T> {
    if (this.running >= this.max) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else this.running++;
    try {
      return await run();
    } finally {
      // Passed on directly, so that a new caller cannot overtake the waiting ones.
      const next = this.waiting.shift();
      if (next) next();
      else this.running--;
    }
  }
}

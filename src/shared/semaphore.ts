/** Lets so many at a time do something, in the order in which they ask: a storm becomes a queue. */
export class Semaphore {
  private out = 0;
  private readonly waiting: (() => void)[] = [];

  constructor(private readonly max: number) {}

  async take<T>(run: () => Promise<T>): Promise<T> {
    if (this.out >= this.max) await new Promise<void>((resolve) => this.waiting.push(resolve));
    else this.out++;
    try {
      return await run();
    } finally {
      // The place goes to the next one directly: nobody can slip in between.
      const next = this.waiting.shift();
      if (next) next();
      else this.out--;
    }
  }
}

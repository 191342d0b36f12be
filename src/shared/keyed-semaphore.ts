import { Semaphore } from './semaphore.js';

/** A {@link Semaphore} per key: the tasks of one key wait for each other, and never for those of another. */
export class KeyedSemaphore {
  private readonly semaphores = new Map<string, { semaphore: Semaphore; tasks: number }>();

  /** @param max tasks of one key that run at a time */
  constructor(private readonly max: number) {}

  async take<T>(key: string, run: () => Promise<T>): Promise<T> {
    const entry = this.semaphores.get(key) ?? { semaphore: new Semaphore(this.max), tasks: 0 };
    this.semaphores.set(key, entry);
    entry.tasks++;
    try {
      return await entry.semaphore.take(run);
    } finally {
      entry.tasks--;
      if (entry.tasks === 0) this.semaphores.delete(key);
    }
  }
}

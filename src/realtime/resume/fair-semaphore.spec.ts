import { describe, expect, it } from 'vitest';
import { FairSemaphore } from './fair-semaphore.js';

/** Tasks that run until the test ends them, and the order in which they began. */
class Tasks {
  readonly began: string[] = [];
  private readonly ends: (() => void)[] = [];

  constructor(private readonly semaphore: FairSemaphore) {}

  take(owner: string): Promise<void> {
    return this.semaphore.take(owner, () => {
      this.began.push(owner);
      return new Promise((resolve) => this.ends.push(resolve));
    });
  }

  async endOldest(): Promise<void> {
    this.ends.shift()!();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

const limits = { running: 3, runningPerOwner: 2, waitingPerOwner: 4 };

describe(FairSemaphore, () => {
  it('keeps a place for other owners, however many tasks one has', () => {
    const tasks = new Tasks(new FairSemaphore(limits));
    for (let n = 0; n < 6; n++) void tasks.take('many');
    expect(tasks.began).toEqual(['many', 'many']);
    void tasks.take('few');
    expect(tasks.began).toEqual(['many', 'many', 'few']);
  });

  it('lets owners that wait take turns', async () => {
    const tasks = new Tasks(new FairSemaphore({ ...limits, running: 1, runningPerOwner: 1 }));
    for (const owner of ['a', 'a', 'a', 'b', 'b', 'c']) void tasks.take(owner);
    for (let n = 0; n < 6; n++) await tasks.endOldest();
    expect(tasks.began).toEqual(['a', 'b', 'c', 'a', 'b', 'a']);
  });

  it('refuses what exceeds the tasks of one owner that may wait, and only that', async () => {
    const tasks = new Tasks(new FairSemaphore(limits));
    for (let n = 0; n < 6; n++) void tasks.take('many');
    await expect(tasks.take('many')).rejects.toMatchObject({ code: 'rate_limited' });
    void tasks.take('few');
    await tasks.endOldest();
    void tasks.take('many');
    for (let n = 0; n < 7; n++) await tasks.endOldest();
    expect(tasks.began.filter((owner) => owner === 'many')).toHaveLength(7);
  });

  it('goes on after a task that fails', async () => {
    const semaphore = new FairSemaphore({ ...limits, running: 1 });
    const failed = semaphore.take('a', () => Promise.reject(new Error('no')));
    const next = semaphore.take('b', () => Promise.resolve('yes'));
    await expect(failed).rejects.toThrow('no');
    expect(await next).toBe('yes');
  });
});

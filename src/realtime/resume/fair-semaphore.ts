/** Limits how many tasks run at a time, so that each owner has a share of them. */
import { AppError } from '../../shared/app-error.js';
import type { RealtimeErrorCode } from '../protocol.js';

export interface FairSemaphoreLimits {
  /** Tasks that run at a time, of all owners. */
  running: number;
  /** The same of one owner; less than of all, so that another one need not wait for its tasks. */
  runningPerOwner: number;
  /** Tasks of one owner that wait; further ones are refused. */
  waitingPerOwner: number;
}

interface OwnerTasks {
  running: number;
  readonly waiting: (() => void)[];
}

/** The tasks of one owner run in order; owners that wait take turns. */
export class FairSemaphore {
  private running = 0;
  /** Owners that have tasks; the one that had a turn last is the last one. */
  private readonly owners = new Map<string, OwnerTasks>();

  constructor(private readonly limits: FairSemaphoreLimits) {}

  /** @throws AppError `rate_limited` if too many tasks of this owner wait */
  async take<T>(owner: string, run: () => Promise<T>): Promise<T> {
    const tasks = this.tasksOf(owner);
    if (this.mayRun(tasks)) this.start(owner, tasks);
    else {
      if (tasks.waiting.length >= this.limits.waitingPerOwner) throw tooMany();
      await new Promise<void>((resolve) => tasks.waiting.push(resolve));
    }
    try {
      return await run();
    } finally {
      this.end(owner, tasks);
    }
  }

  private tasksOf(owner: string): OwnerTasks {
    let tasks = this.owners.get(owner);
    if (!tasks) this.owners.set(owner, (tasks = { running: 0, waiting: [] }));
    return tasks;
  }

  private mayRun({ running }: OwnerTasks): boolean {
    return this.running < this.limits.running && running < this.limits.runningPerOwner;
  }

  private start(owner: string, tasks: OwnerTasks): void {
    this.running++;
    tasks.running++;
    this.owners.delete(owner);
    this.owners.set(owner, tasks);
  }

  private end(owner: string, tasks: OwnerTasks): void {
    this.running--;
    tasks.running--;
    // It had its turn: those that wait are next.
    this.owners.delete(owner);
    if (tasks.running > 0 || tasks.waiting.length > 0) this.owners.set(owner, tasks);
    // Started here, so that a new caller cannot overtake the waiting ones.
    for (const [next, others] of this.owners) {
      const resolve = this.mayRun(others) ? others.waiting.shift() : undefined;
      if (!resolve) continue;
      this.start(next, others);
      return resolve();
    }
  }
}

const tooMany = (): AppError =>
  new AppError(
    'unavailable',
    'rate_limited' satisfies RealtimeErrorCode,
    'Too many connections of this owner resume at once. Try again.',
  );

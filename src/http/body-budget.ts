import { AppError, UnavailableError } from '../shared/app-error.js';

/** In bytes, of bodies that are being read or worked on. */
export interface Shares {
  total: number;
  perOwner: number;
  /** Requests of one owner that may wait for their share. */
  waitingPerOwner: number;
  /** How long they may. */
  waitMs: number;
}

interface Waiting {
  owner: string;
  bytes: number;
  start: () => void;
}

/**
 * Bounds the memory that large bodies take. A request that exceeds the share of its owner waits before
 * its body is read, so that its client is slowed down by TCP; others pass it.
 */
export class BodyBudget {
  private used = 0;
  private readonly usedBy = new Map<string, number>();
  private waiting: Waiting[] = [];

  constructor(private readonly shares: Shares) {}

  /**
   * Waits for the share of a body.
   * @returns ends the share; to be called once
   * @throws AppError `too_many_bodies` if too many requests of the owner wait, or one does for too long;
   * UnavailableError if the others leave nothing
   */
  async take(owner: string, bytes: number): Promise<() => void> {
    if (this.isOwnersTurn(owner) && this.fits(owner, bytes)) this.add(owner, bytes);
    else await this.wait(owner, bytes);
    return () => {
      this.add(owner, -bytes);
      this.startWaiting();
    };
  }

  private wait(owner: string, bytes: number): Promise<void> {
    const { waitMs, waitingPerOwner } = this.shares;
    if (this.waitingOf(owner) >= waitingPerOwner) throw tooMany();
    return new Promise((resolve, reject) => {
      const item: Waiting = {
        owner,
        bytes,
        start: () => {
          clearTimeout(timeout);
          resolve();
        },
      };
      const timeout = setTimeout(() => {
        this.waiting = this.waiting.filter((other) => other !== item);
        reject(this.isOverShare(owner, bytes) ? tooMany() : busy());
      }, waitMs);
      this.waiting.push(item);
    });
  }

  /** In the order of arrival; an owner that has used its share delays no other. */
  private startWaiting(): void {
    const left: Waiting[] = [];
    let isFull = false;
    for (const item of this.waiting) {
      const { owner, bytes } = item;
      if (isFull || this.isOverShare(owner, bytes)) left.push(item);
      else if (!this.fits(owner, bytes)) {
        isFull = true;
        left.push(item);
      } else {
        this.add(owner, bytes);
        item.start();
      }
    }
    this.waiting = left;
  }

  private fits(owner: string, bytes: number): boolean {
    return !this.isOverShare(owner, bytes) && this.used + bytes <= this.shares.total;
  }

  private isOverShare(owner: string, bytes: number): boolean {
    return (this.usedBy.get(owner) ?? 0) + bytes > this.shares.perOwner;
  }

  private isOwnersTurn(owner: string): boolean {
    return this.waiting.length === 0 || this.waitingOf(owner) === 0;
  }

  private waitingOf(owner: string): number {
    return this.waiting.filter((item) => item.owner === owner).length;
  }

  private add(owner: string, bytes: number): void {
    this.used += bytes;
    const used = (this.usedBy.get(owner) ?? 0) + bytes;
    if (used > 0) this.usedBy.set(owner, used);
    else this.usedBy.delete(owner);
  }
}

const tooMany = (): AppError =>
  new AppError(
    'too_many_requests',
    'too_many_bodies',
    'Too many large requests at once; please wait for their responses.',
  );

const busy = (): UnavailableError =>
  new UnavailableError('There is no memory for another large request at the moment.');

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

/** What one request takes of the memory. */
export interface Share {
  /**
   * Resolves when the body may be read; to false if the share has ended before. Rejects with AppError
   * `too_many_bodies` if it has waited too long for its owner's share, UnavailableError if for all.
   */
  granted: Promise<boolean>;
  /** Gives it back, or stops waiting for it. A second call does nothing. */
  end: () => void;
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
   * Asks for the share of a body. The caller has to end it, also while it waits: a client that has gone
   * must not keep memory from others.
   * @throws AppError `too_many_bodies` if too many requests of the owner wait
   */
  take(owner: string, bytes: number): Share {
    if (!this.isOwnersTurn(owner) || !this.fits(owner, bytes)) return this.wait(owner, bytes);
    return this.taken(owner, bytes);
  }

  private taken(owner: string, bytes: number): Share {
    this.add(owner, bytes);
    let isOver = false;
    const end = () => {
      if (isOver) return;
      isOver = true;
      this.add(owner, -bytes);
      this.startWaiting();
    };
    return { granted: Promise.resolve(true), end };
  }

  private wait(owner: string, bytes: number): Share {
    const { waitMs, waitingPerOwner } = this.shares;
    if (this.waitingOf(owner) >= waitingPerOwner) throw tooMany();
    let end: () => void = nothing;
    const granted = new Promise<boolean>((resolve, reject) => {
      const item: Waiting = {
        owner,
        bytes,
        start: () => {
          clearTimeout(timeout);
          ({ end } = this.taken(owner, bytes));
          resolve(true);
        },
      };
      const leave = () => {
        clearTimeout(timeout);
        this.waiting = this.waiting.filter((other) => other !== item);
        end = nothing;
        // It may have been the one that the others waited behind.
        this.startWaiting();
      };
      const timeout = setTimeout(() => {
        reject(this.isOverShare(owner, bytes) ? tooMany() : busy());
        leave();
      }, waitMs);
      end = () => {
        resolve(false);
        leave();
      };
      this.waiting.push(item);
    });
    return { granted, end: () => end() };
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
      } else item.start();
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

const nothing = (): void => undefined;

const tooMany = (): AppError =>
  new AppError(
    'too_many_requests',
    'too_many_bodies',
    'Too many large requests at once; please wait for their responses.',
  );

const busy = (): UnavailableError =>
  new UnavailableError('There is no memory for another large request at the moment.');

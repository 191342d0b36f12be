import { RateWindow } from './rate-window.js';

/**
 * What a worker process knows of a webhook that it alone serves for now: until when, how much is out,
 * what was sent lately, and whether something has failed that nothing may pass.
 */
export class WebhookLease {
  /** Deliveries that were claimed here and have no durable outcome yet. */
  outstanding = 0;
  /**
   * Whether everything that is out for the webhook is known to be ours. It is not in the beginning,
   * when an earlier holder may have left requests, nor when a claim of ours failed halfway.
   */
  isClear = false;
  /** Nothing more is claimed: it is given back as soon as nothing is out. */
  isLeaving = false;
  /** Since when nothing has been claimed, on the monotonic clock. */
  idleSinceMs: number;
  private run = new Run();

  /** @param endsMs end of the lease on this process's monotonic clock; never later than in the store */
  constructor(
    readonly webhookId: string,
    private endsMs: number,
    readonly window: RateWindow,
    nowMs: number,
  ) {
    this.idleSinceMs = nowMs;
  }

  /** Whether nobody else can hold it at this moment. */
  isOwned(nowMs: number): boolean {
    return nowMs < this.endsMs;
  }

  renewed(endsMs: number): void {
    this.endsMs = endsMs;
  }

  /** Somebody else has it, or will. */
  lose(): void {
    this.endsMs = Number.NEGATIVE_INFINITY;
  }

  /**
   * How often something has failed, or gone back to wait, that others must not pass. Where it has
   * changed, what was read of the line before may lack what stands first now.
   */
  failureCount = 0;

  /** Whether more may be claimed behind what is out, or something of that has failed. */
  get isFlowing(): boolean {
    return this.outstanding === 0 || !this.run.isBroken;
  }

  /**
   * Leave for so many deliveries that are about to be claimed.
   * @param kind `each`: a request each, independent of each other; `run`: a request each, of which none
   *   is sent once one before it has failed; `batch`: one request for all
   */
  permit(count: number, kind: PermitKind): SendPermit {
    if (this.outstanding === 0) this.run = new Run();
    this.outstanding += count;
    this.window.reserve(kind === 'batch' ? 1 : count);
    return new SendPermit(this, kind === 'each' ? undefined : this.run, kind === 'batch', count);
  }
}

export type PermitKind = 'each' | 'run' | 'batch';

/** Deliveries that follow each other without a gap; what is behind the one that failed stays unsent. */
class Run {
  isBroken = false;
}

/** Goes with the deliveries of one pull for a lane, and is told what becomes of each. */
export class SendPermit {
  private isRequestMade = false;

  /** @param open deliveries that it goes with and that have no outcome yet */
  constructor(
    private readonly lane: WebhookLease,
    private readonly run: Run | undefined,
    private readonly isBatch: boolean,
    private open: number,
  ) {}

  /** Whether it may be sent now: asked right before, because much may have happened since the claim. */
  mayStart(nowMs: number): boolean {
    return this.lane.isOwned(nowMs) && !this.run?.isBroken;
  }

  /** A request was made. Told at once, before the next one can start. */
  ended(isSuccess: boolean, startedMs: number, nowMs: number): void {
    this.isRequestMade = true;
    this.lane.window.sent(startedMs, nowMs);
    if (!isSuccess) this.break();
  }

  /** A delivery goes back to wait, without a request: what is behind it does not pass it. */
  break(): void {
    if (!this.run) return;
    this.run.isBroken = true;
    this.lane.failureCount++;
  }

  /** The outcome of one of them is durable. @param isSent whether a request was made for it */
  settled(isSent: boolean): void {
    this.close(1, isSent ? 0 : 1);
  }

  /** Nobody will write the outcome of one of them: it is free when its lease has ended. */
  abandoned(isSent: boolean): void {
    this.break();
    this.lane.isClear = false;
    this.settled(isSent);
  }

  /** Fewer were claimed than were asked for. */
  unused(count: number): void {
    this.close(count, count);
  }

  private close(count: number, unsent: number): void {
    this.lane.outstanding -= count;
    this.open -= count;
    if (!this.isBatch) this.lane.window.returnPermit(unsent);
    else if (count > 0 && this.open === 0 && !this.isRequestMade) this.lane.window.returnPermit(1);
  }
}

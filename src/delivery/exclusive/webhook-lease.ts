import { RateWindow } from './rate-window.js';

/**
 * What this node knows of an exclusive webhook that it serves: when the lease ends, how many
 * deliveries are outstanding, what was sent lately, and whether a failure blocks those behind it.
 */
export class WebhookLease {
  /** Deliveries that were claimed here and have no durable outcome yet. */
  outstanding = 0;
  /**
   * Whether all leased deliveries of the webhook are known to be of this node. At first they are not:
   * the previous node may have left requests in flight. After a failed claim they are not either.
   */
  ownsAllInFlight = false;
  /** Nothing more is claimed: the lease is released as soon as nothing is outstanding. */
  isReleasing = false;
  /** Since when nothing has been claimed, on the monotonic clock. */
  idleSinceMs: number;
  /**
   * How often a delivery has failed, or was deferred again, that others must not overtake. If it has
   * changed since the heads of the backlog were read, they may lack the delivery that is first now.
   */
  failureCount = 0;
  private sequence = new OrderedSequence();

  /** @param endsMs end of the lease on this node's monotonic clock; never later than in the store */
  constructor(
    readonly webhookId: string,
    private endsMs: number,
    readonly window: RateWindow,
    nowMs: number,
  ) {
    this.idleSinceMs = nowMs;
  }

  /** Whether no other node can own the webhook at this moment. */
  isOwned(nowMs: number): boolean {
    return nowMs < this.endsMs;
  }

  renewed(endsMs: number): void {
    this.endsMs = endsMs;
  }

  /** Another node owns the webhook, or will. */
  lose(): void {
    this.endsMs = Number.NEGATIVE_INFINITY;
  }

  /** Whether a delivery that is outstanding has failed, so that nothing may be claimed behind it. */
  get isBlocked(): boolean {
    return this.outstanding > 0 && this.sequence.isBlocked;
  }

  /**
   * A permit for so many deliveries that are about to be claimed.
   * @param kind `each`: one request each, independent of each other; `sequence`: one request each, and
   *   none after one that failed; `batch`: one request for all
   */
  permit(count: number, kind: PermitKind): SendPermit {
    if (this.outstanding === 0) this.sequence = new OrderedSequence();
    this.outstanding += count;
    this.window.reserve(kind === 'batch' ? 1 : count);
    const sequence = kind === 'each' ? undefined : this.sequence;
    return new SendPermit(this, sequence, kind === 'batch', count);
  }
}

export type PermitKind = 'each' | 'sequence' | 'batch';

/** Deliveries in an unbroken order. After a failure, those behind it are not sent. */
class OrderedSequence {
  isBlocked = false;
}

/**
 * Belongs to the deliveries of one claim under a webhook lease. It says right before a request whether
 * the lease still allows it, and has to be informed of what becomes of each delivery.
 */
export class SendPermit {
  private isRequestMade = false;

  /** @param open deliveries of this permit that have no outcome yet */
  constructor(
    private readonly lease: WebhookLease,
    private readonly sequence: OrderedSequence | undefined,
    private readonly isBatch: boolean,
    private open: number,
  ) {}

  /** Whether a request may start now. Asked right before: the claim may be long ago. */
  mayStart(nowMs: number): boolean {
    return this.lease.isOwned(nowMs) && !this.sequence?.isBlocked;
  }

  /**
   * A request has ended. To be called at once, before the next one can start.
   * @param isResent it was sent twice
   */
  ended(isSuccess: boolean, startedMs: number, nowMs: number, isResent = false): void {
    this.isRequestMade = true;
    this.lease.window.sent(startedMs, nowMs);
    if (isResent) this.lease.window.sentAgain(nowMs);
    if (!isSuccess) this.block();
  }

  /** A delivery is deferred again without a request: those behind it must not overtake it. */
  block(): void {
    if (!this.sequence) return;
    this.sequence.isBlocked = true;
    this.lease.failureCount++;
  }

  /** The outcome of one delivery is durable. @param isSent whether a request was made for it */
  settled(isSent: boolean): void {
    this.close(1, isSent ? 0 : 1);
  }

  /** The outcome of one delivery will never be written: it is pending again when its lease has ended. */
  abandoned(isSent: boolean): void {
    this.block();
    this.lease.ownsAllInFlight = false;
    this.settled(isSent);
  }

  /** Fewer deliveries were claimed than the permit was made for. */
  unused(count: number): void {
    this.close(count, count);
  }

  private close(count: number, unsent: number): void {
    this.lease.outstanding -= count;
    this.open -= count;
    if (!this.isBatch) this.lease.window.returnPermit(unsent);
    else if (count > 0 && this.open === 0 && !this.isRequestMade) this.lease.window.returnPermit(1);
  }
}

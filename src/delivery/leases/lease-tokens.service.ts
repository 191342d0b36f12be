import { randomBytes } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { TIMINGS, type Timings } from '../../config/timings.js';
import type { Lease } from './lease.js';

/**
 * Fencing tokens, and the leases that carry them. Each claim has a token that no other claim has had,
 * on this node or another. An outcome names the token of its claim: a worker that resumes after its
 * lease has ended, and another worker has claimed the row, changes nothing.
 */
@Injectable()
export class LeaseTokens {
  /** Names this process in the rows that it leases. */
  readonly process = randomBytes(9).toString('base64url');
  private count = 0;

  constructor(@Inject(TIMINGS) private readonly timings: Timings) {}

  next(): string {
    this.count++;
    return `${this.process}.${this.count}`;
  }

  /**
   * A lease for attempts with this timeout. To be called before the statement that claims: by the
   * clock of this process the lease must not last longer than in the row.
   */
  lease(timeoutMs: number): Lease {
    const ms = timeoutMs + this.timings.maxWaitMs + this.timings.leaseMarginMs;
    return { token: this.next(), ms, endsMs: performance.now() + ms };
  }
}

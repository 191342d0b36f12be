import { randomBytes } from 'node:crypto';
import { Injectable } from '@nestjs/common';

/**
 * Fencing tokens: every claim gets one that no other claim has had, in this process or another. An
 * outcome names the token of its claim, so a worker that wakes up after its lease has ended, and
 * somebody else has claimed, changes nothing.
 */
@Injectable()
export class LeaseTokens {
  /** Names this process in the rows that it holds, for whoever looks at them. */
  readonly process = randomBytes(9).toString('base64url');
  private count = 0;

  next(): string {
    this.count++;
    return `${this.process}.${this.count}`;
  }
}

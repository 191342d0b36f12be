import { Injectable } from '@nestjs/common';
import { HealthIndicatorService, type HealthIndicatorResult } from '@nestjs/terminus';
import { DeliveryQueue } from '../delivery/delivery.queue.js';
import { within } from './within.js';

/** Whether the queue answers. A connection that stands proves nothing: Redis may be stopped. */
@Injectable()
export class QueueIndicator {
  constructor(
    private readonly indicators: HealthIndicatorService,
    private readonly queue: DeliveryQueue,
  ) {}

  async check(timeoutMs: number): Promise<HealthIndicatorResult> {
    const indicator = this.indicators.check('queue');
    try {
      await within(timeoutMs, this.queue.ping());
      return indicator.up({ kind: this.queue.kind });
    } catch {
      return indicator.down({ kind: this.queue.kind, message: 'does not answer' });
    }
  }
}

import { Injectable, Logger } from '@nestjs/common';
import { logFailure } from '../../shared/log-failure.js';
import { ClaimsService } from '../claims/claims.service.js';
import { DeliveryWorker } from '../sending/worker.service.js';

/** Events per job and claim: the cost per event is flat between 50 and 100. */
export const CHUNK_SIZE = 100;

/** What a worker does with events that a queue has handed over: it claims them and submits the tasks. */
@Injectable()
export class ChunkConsumer {
  private readonly logger = new Logger(ChunkConsumer.name);

  constructor(
    private readonly claims: ClaimsService,
    private readonly worker: DeliveryWorker,
  ) {}

  /** Waits for capacity. Never rejects: events that are not claimed are soon due. */
  async consume(eventIds: readonly string[]): Promise<void> {
    try {
      for (let start = 0; start < eventIds.length; start += CHUNK_SIZE) {
        await this.worker.waitForCapacity(CHUNK_SIZE);
        if (this.worker.freeCapacity === 0) return;
        const { tasks } = await this.claims.handedOver(eventIds.slice(start, start + CHUNK_SIZE));
        this.worker.submit(tasks);
      }
    } catch (error) {
      const fields = { events: eventIds.length };
      logFailure(this.logger, 'warn', 'events are left to the sweepers', error, fields);
    }
  }
}

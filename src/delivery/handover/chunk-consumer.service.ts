import { Injectable, Logger } from '@nestjs/common';
import { ClaimsService } from '../claims/claims.service.js';
import { DeliveryWorker } from '../sending/worker.service.js';

/** Events per claim: the cost per event is flat between 50 and 100. */
const CHUNK_SIZE = 100;

/**
 * What a worker does with events that were handed over, whichever queue they came through: wait for
 * room, claim the rows that are still unclaimed, make the attempts.
 */
@Injectable()
export class ChunkConsumer {
  private readonly logger = new Logger(ChunkConsumer.name);

  constructor(
    private readonly claims: ClaimsService,
    private readonly worker: DeliveryWorker,
  ) {}

  /** Never rejects: what could not be claimed is due soon and swept up. */
  async consume(eventIds: readonly string[]): Promise<void> {
    try {
      for (let start = 0; start < eventIds.length; start += CHUNK_SIZE) {
        await this.worker.waitForCapacity(CHUNK_SIZE);
        if (this.worker.freeCapacity === 0) return;
        const { tasks } = await this.claims.handedOver(eventIds.slice(start, start + CHUNK_SIZE));
        this.worker.submit(tasks);
      }
    } catch (error) {
      this.logger.warn(`a chunk is left to the sweepers: ${String(error)}`);
    }
  }
}

import { OnQueueError, Process, Processor } from '@nestjs/bull';
import { Logger } from '@nestjs/common';
import type { Job } from 'bull';
import { ChunkConsumer } from './chunk-consumer.service.js';
import { DELIVERY_JOB, DELIVERY_QUEUE_NAME, isDeliveryChunk } from './delivery.queue.js';

/** Chunks that are taken at once; each only waits for room and for one claim. */
const CONCURRENCY = 4;

/**
 * The Bull end of the hand-over. A job is done when its rows are claimed: retries, dead letters and
 * outcomes live in PostgreSQL, so a job that is run twice finds nothing left to claim, and one that
 * is lost is swept up. On shutdown Bull waits for the jobs that are running.
 */
@Processor(DELIVERY_QUEUE_NAME)
export class DeliveryProcessor {
  private readonly logger = new Logger(DeliveryProcessor.name);

  constructor(private readonly consumer: ChunkConsumer) {}

  @Process({ name: DELIVERY_JOB, concurrency: CONCURRENCY })
  async process(job: Job<unknown>): Promise<void> {
    if (isDeliveryChunk(job.data)) await this.consumer.consume(job.data.eventIds);
    else this.logger.warn(`job ${job.id} carries no chunk and is dropped`);
  }

  @OnQueueError()
  onError(error: Error): void {
    this.logger.warn(`the delivery queue reports: ${String(error)}`);
  }
}

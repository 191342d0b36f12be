import { InjectQueue, OnQueueError, Process, Processor } from '@nestjs/bull';
import { type BeforeApplicationShutdown, Logger } from '@nestjs/common';
import type { Job, Queue } from 'bull';
import { ChunkConsumer } from './chunk-consumer.service.js';
import {
  closeQueue,
  DELIVERY_JOB,
  DELIVERY_QUEUE_NAME,
  isDeliveryChunk,
} from './delivery.queue.js';

/** Chunks that are taken at once; each only waits for room and for one claim. */
const CONCURRENCY = 4;

/**
 * The Bull end of the hand-over. A job is done when its rows are claimed: retries, dead letters and
 * outcomes live in PostgreSQL, so a job that is run twice finds nothing left to claim, and one that
 * is lost is swept up.
 */
@Processor(DELIVERY_QUEUE_NAME)
export class DeliveryProcessor implements BeforeApplicationShutdown {
  private readonly logger = new Logger(DeliveryProcessor.name);

  constructor(
    private readonly consumer: ChunkConsumer,
    @InjectQueue(DELIVERY_QUEUE_NAME) private readonly queue: Queue,
  ) {}

  /** While the attempts in flight end: a worker that drains could only drop what it took now. */
  async beforeApplicationShutdown(): Promise<void> {
    await closeQueue(this.queue);
  }

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

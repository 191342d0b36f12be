import { InjectQueue, OnQueueError, Process, Processor } from '@nestjs/bull';
import { type BeforeApplicationShutdown, Logger } from '@nestjs/common';
import type { Job, Queue } from 'bull';
import {
  closeQueue,
  DELIVERY_JOB,
  DELIVERY_QUEUE_NAME,
  isDeliveryChunk,
  logQueueError,
} from './bull.queue.js';
import { ChunkConsumer } from './chunk-consumer.service.js';

/** Jobs that run at once; each only waits for capacity and for one claim. */
const CONCURRENCY = 4;

/**
 * Runs the jobs of the queue. A job is done when its rows are claimed: retries, dead letters and
 * outcomes are in PostgreSQL, so a job that runs twice finds nothing to claim, and the sweepers claim
 * the events of a job that is lost.
 */
@Processor(DELIVERY_QUEUE_NAME)
export class DeliveryProcessor implements BeforeApplicationShutdown {
  private readonly logger = new Logger(DeliveryProcessor.name);

  constructor(
    private readonly consumer: ChunkConsumer,
    @InjectQueue(DELIVERY_QUEUE_NAME) private readonly queue: Queue,
  ) {}

  /** While the attempts in flight end: a worker that drains could only drop new jobs. */
  async beforeApplicationShutdown(): Promise<void> {
    await closeQueue(this.queue);
  }

  @Process({ name: DELIVERY_JOB, concurrency: CONCURRENCY })
  async process(job: Job<unknown>): Promise<void> {
    if (isDeliveryChunk(job.data)) await this.consumer.consume(job.data.eventIds);
    else this.logger.warn(`job ${job.id} has no chunk of event ids and is dropped`);
  }

  @OnQueueError()
  onError(error: Error): void {
    logQueueError(this.logger, error);
  }
}

import { InjectQueue } from '@nestjs/bull';
import {
  type BeforeApplicationShutdown,
  Injectable,
  Logger,
  type OnApplicationBootstrap,
} from '@nestjs/common';
import type { Job, Queue } from 'bull';
import { FailureLog } from '../../redis/failure.log.js';
import { BullConnections } from './bull.connections.js';
import { DELIVERY_JOB, DELIVERY_QUEUE_NAME, isDeliveryChunk } from './bull.queue.js';
import { ChunkConsumer } from './chunk-consumer.service.js';

/** Jobs that run at once; each only waits for capacity and for one claim. */
const CONCURRENCY = 4;

/**
 * Runs the jobs of the queue. A job is done when its rows are claimed: retries, dead letters and
 * outcomes are in PostgreSQL, so a job that runs twice finds nothing to claim, and the sweepers claim
 * the events of a job that is lost.
 */
@Injectable()
export class DeliveryProcessor implements OnApplicationBootstrap, BeforeApplicationShutdown {
  private readonly logger = new Logger(DeliveryProcessor.name);
  private readonly failures = new FailureLog(this.logger, 'no jobs are taken from the queue');

  constructor(
    private readonly consumer: ChunkConsumer,
    private readonly connections: BullConnections,
    @InjectQueue(DELIVERY_QUEUE_NAME) private readonly queue: Queue,
  ) {}

  onApplicationBootstrap(): void {
    const { queue, failures } = this;
    // Those without a second argument are of a connection, which logs them itself.
    queue.on('error', (error: Error, what?: string) => {
      if (what !== undefined) failures.failed(error, { what });
    });
    // It names a connection in Redis, and its rejection has no listener.
    Object.assign(queue, { setWorkerName: () => Promise.resolve() });
    const process = (job: Job<unknown>) => this.process(job);
    // Settles when the queue is closed.
    queue.process(DELIVERY_JOB, CONCURRENCY, process).catch((error: unknown) => {
      failures.failed(error);
    });
  }

  /** While the attempts in flight end: a worker that drains could only drop new jobs. */
  async beforeApplicationShutdown(): Promise<void> {
    await this.connections.close(this.queue);
  }

  private async process(job: Job<unknown>): Promise<void> {
    if (isDeliveryChunk(job.data)) await this.consumer.consume(job.data.eventIds);
    else this.logger.warn(`job ${job.id} has no chunk of event ids and is dropped`);
  }
}

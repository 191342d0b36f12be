import {
  type BeforeApplicationShutdown,
  Inject,
  Injectable,
  Logger,
  type OnModuleInit,
} from '@nestjs/common';
import { logFailure } from '../shared/log-failure.js';
import { retryUntilDone } from '../shared/retry.timer.js';
import { TIMINGS, type Timings } from '../config/timings.js';
import { type SystemEvent, SystemEvents } from '../system-events/system-events.service.js';
import { EventsService } from './events.service.js';

/** Events of one publication. */
const BATCH = 500;

/** Publishes what the parts of the product report through {@link SystemEvents}. */
@Injectable()
export class SystemEventPublisher implements OnModuleInit, BeforeApplicationShutdown {
  private readonly logger = new Logger(SystemEventPublisher.name);
  private emitted: Promise<void> | undefined;
  private isClosing = false;

  constructor(
    private readonly systemEvents: SystemEvents,
    private readonly events: EventsService,
    @Inject(TIMINGS) private readonly timings: Timings,
  ) {}

  onModuleInit(): void {
    this.emitted = this.publishEmitted();
    void this.publishRequested();
  }

  /** Before the stores close: publishes what is queued, in one try. */
  async beforeApplicationShutdown(): Promise<void> {
    this.isClosing = true;
    this.systemEvents.close();
    await this.emitted;
  }

  /** Until the queue is closed and empty. */
  private async publishEmitted(): Promise<void> {
    for (;;) {
      const batch = await this.systemEvents.takeEmitted(BATCH);
      if (batch.length === 0) return;
      try {
        await retryUntilDone(() => this.publish(batch), {
          isFinal: () => this.isClosing,
          onError: (error) => this.report(error, batch),
          minWaitMs: this.timings.systemEventRetryMs,
          maxWaitMs: this.timings.systemEventRetryMs,
        });
      } catch (error) {
        logFailure(this.logger, 'error', 'system events are lost', error, { count: batch.length });
      }
    }
  }

  /** The caller of each request waits for it, and decides about a retry. */
  private async publishRequested(): Promise<never> {
    for (;;) {
      const { events, resolve, reject } = await this.systemEvents.takeRequest();
      void this.publish(events).then(resolve, reject);
    }
  }

  private publish(events: readonly SystemEvent[]): Promise<void> {
    return this.events.publishSystemEvents(events);
  }

  private report(error: unknown, { length }: readonly SystemEvent[]): void {
    logFailure(this.logger, 'warn', 'system events are not published yet', error, {
      count: length,
    });
  }
}

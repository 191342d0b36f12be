import type { RegisteredWebhook } from '../../webhooks/registered-webhook.js';
import { LatencyEstimates } from './latency-estimates.js';

/**
 * Of the queue of a webhook, what is claimed for one whose deliveries are all pulled, and have no order:
 * a more urgent one can be claimed only when there is capacity, so it waits for half of this.
 */
const PULLED_SHARE = 1 / 8;

/** How long a webhook is assumed to take that has not answered yet, if its deliveries are pulled. */
const UNKNOWN_LATENCY_MS = 100;

type Webhook = Pick<
  RegisteredWebhook,
  'ordering' | 'batch' | 'maxConcurrency' | 'needsExclusiveLease'
>;

/** How many requests a webhook may have in flight on this node, and how many deliveries buffered. */
export class QueueLimits {
  private readonly latencies = new LatencyEstimates();

  constructor(
    private readonly options: {
      /** Undefined: it is deleted. */
      webhook: (webhookId: string) => Webhook | undefined;
      /** Requests in flight over all workers, if the webhook does not say. */
      maxPerWebhook: number;
      /** Workers that share them. */
      workers: () => number;
      /** How long the work in the queue of a webhook may take. */
      queueMs: number;
    },
  ) {}

  /** How long a request has taken. */
  observe(webhookId: string, durationMs: number): void {
    this.latencies.observe(webhookId, durationMs);
  }

  /** Slots of a webhook on this node; an exclusive one is served by this node only. */
  slotsOf(webhookId: string): number {
    return this.slots(this.options.webhook(webhookId));
  }

  queueLimitOf(webhookId: string): number {
    const { latencies } = this;
    const { queueMs } = this.options;
    const webhook = this.options.webhook(webhookId);
    const slots = this.slots(webhook);
    return webhook?.needsExclusiveLease && webhook.ordering !== 'fifo' && !webhook.batch
      ? latencies.queueLimit(webhookId, slots, queueMs * PULLED_SHARE, UNKNOWN_LATENCY_MS)
      : latencies.queueLimit(webhookId, slots, queueMs);
  }

  /** Of what all workers may have in flight to a webhook. */
  private share(): number {
    const { maxPerWebhook, workers } = this.options;
    return Math.max(Math.floor(maxPerWebhook / Math.max(workers(), 1)), 1);
  }

  private slots(webhook: Webhook | undefined): number {
    if (webhook && (webhook.ordering === 'fifo' || webhook.batch)) return 1;
    return webhook?.maxConcurrency ?? this.share();
  }
}

/** Weight of the newest observation. */
const ALPHA = 0.2;
const MAX_WEBHOOKS = 10_000;

/** However fast the webhook is: a queue costs memory. */
const MAX_PER_SLOT = 50;

/**
 * How long each webhook takes to answer, as a moving mean, and how many deliveries are therefore
 * worth buffering for it. The others are deferred, and pulled when there is capacity.
 */
export class LatencyEstimates {
  private readonly means = new Map<string, number>();

  observe(webhookId: string, durationMs: number): void {
    const mean = this.means.get(webhookId);
    if (mean === undefined && this.means.size >= MAX_WEBHOOKS) this.means.clear();
    const next = mean === undefined ? durationMs : mean + ALPHA * (durationMs - mean);
    this.means.set(webhookId, next);
  }

  /**
   * The queue limit of a webhook with so many slots.
   * @param queueMs   how long the work in its queue may take: much less than a lease lets a task wait
   * @param unknownMs how long it is assumed to take while it has not answered yet
   */
  queueLimit(webhookId: string, concurrency: number, queueMs: number, unknownMs = 0): number {
    const mean = this.means.get(webhookId) ?? unknownMs;
    const perSlot = Math.min(queueMs / Math.max(mean, 1), MAX_PER_SLOT);
    return Math.max(Math.floor(concurrency * perSlot), concurrency);
  }
}

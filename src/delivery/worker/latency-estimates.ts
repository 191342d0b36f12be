/**
 * How long a webhook takes to answer, as a moving mean per webhook, and how long what is more than
 * its line holds is therefore better left alone.
 */

/** Weight of the newest observation. */
const ALPHA = 0.2;
const MAX_WEBHOOKS = 10_000;

/** Never so short that rows are rewritten busily, never so long that a recovery goes unnoticed. */
const MIN_DEFERRAL_MS = 1_000;
const MAX_DEFERRAL_MS = 60_000;

/**
 * More fall due than the webhook has taken lately, so that its line does not run dry when it becomes
 * faster; about as many rows are claimed in vain.
 */
const OVERBOOKING = 2;

export class LatencyEstimates {
  private readonly means = new Map<string, number>();
  /** When each webhook will be ready for one more, after all that was deferred for it. */
  private readonly readyAtMs = new Map<string, number>();

  observe(webhookId: string, durationMs: number): void {
    const mean = this.means.get(webhookId);
    if (mean === undefined && this.means.size >= MAX_WEBHOOKS) this.means.clear();
    const next = mean === undefined ? durationMs : mean + ALPHA * (durationMs - mean);
    this.means.set(webhookId, next);
  }

  /** Milliseconds; 0 while nothing is known. */
  of(webhookId: string): number {
    return this.means.get(webhookId) ?? 0;
  }

  /**
   * How long to defer one more delivery: until the line in memory will have been worked off,
   * `places` at a time, and then each one behind the other. Else all of a long backlog would fall
   * due together, only to be deferred again but for the few that the line can take.
   */
  deferralMs(webhookId: string, lineLength: number, places: number, nowMs: number): number {
    const msPerDelivery = this.of(webhookId) / places;
    const firstAtMs = nowMs + Math.max(lineLength * msPerDelivery, MIN_DEFERRAL_MS);
    const readyAtMs = Math.max(firstAtMs, this.readyAtMs.get(webhookId) ?? 0);
    const atMs = Math.min(readyAtMs, nowMs + MAX_DEFERRAL_MS);
    if (this.readyAtMs.size >= MAX_WEBHOOKS) this.readyAtMs.clear();
    this.readyAtMs.set(webhookId, atMs + msPerDelivery / OVERBOOKING);
    return Math.round(atMs - nowMs);
  }
}

/**
 * How long a webhook takes to answer, as a moving mean per webhook, and so how many deliveries are
 * worth keeping in memory for it. What is more waits in PostgreSQL, and is pulled when there is room.
 */

/** Weight of the newest observation. */
const ALPHA = 0.2;
const MAX_WEBHOOKS = 10_000;

/** Work for this time stands in line: much less than a lease allows a task to wait. */
const LINE_MS = 2_000;
/** However fast it is: a line is memory. */
const MAX_PER_PLACE = 50;

export class LatencyEstimates {
  private readonly means = new Map<string, number>();

  observe(webhookId: string, durationMs: number): void {
    const mean = this.means.get(webhookId);
    if (mean === undefined && this.means.size >= MAX_WEBHOOKS) this.means.clear();
    const next = mean === undefined ? durationMs : mean + ALPHA * (durationMs - mean);
    this.means.set(webhookId, next);
  }

  /** How many deliveries may be in memory for a webhook that may have `places` requests out at once. */
  queueLimit(webhookId: string, places: number): number {
    const mean = this.means.get(webhookId) ?? 0;
    const perPlace = Math.min(LINE_MS / Math.max(mean, 1), MAX_PER_PLACE);
    return Math.max(Math.floor(places * perPlace), places);
  }
}

/**
 * How long a webhook takes to answer, as a moving mean per webhook, and how long its line is
 * therefore better left alone.
 */

/** Weight of the newest observation. */
const ALPHA = 0.2;
const MAX_WEBHOOKS = 10_000;

/** Never so short that rows are rewritten busily, never so long that a recovery goes unnoticed. */
const MIN_DEFERRAL_MS = 1_000;
const MAX_DEFERRAL_MS = 60_000;

export class LatencyEstimates {
  private readonly means = new Map<string, number>();

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
}

/** When a line of this length will have been worked off, `places` at a time. */
export function deferralMs(lineLength: number, places: number, latencyMs: number): number {
  const estimate = (lineLength / places) * latencyMs;
  return Math.round(Math.min(Math.max(estimate, MIN_DEFERRAL_MS), MAX_DEFERRAL_MS));
}

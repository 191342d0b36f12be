import { expect } from 'vitest';
import type { ApiClient } from './api-client.js';
import { eventually } from './eventually.js';
import type { WebhookReceiver } from './webhook-receiver.js';

/**
 * What a publisher was told, to be held against what a receiver got: every event that was answered
 * with 202 must arrive, whatever happens to the product in between.
 */
export class Ledger {
  /** Ids that were acknowledged. */
  readonly acknowledged = new Set<string>();
  /** Statuses of requests that were not; 0: no answer came at all. */
  readonly refusals: number[] = [];
  private isRunning = true;
  private publishers: Promise<void>[] = [];

  constructor(private readonly type: string) {}

  /** One event; a refusal is noted, and never thrown. */
  async publish(api: ApiClient): Promise<void> {
    const answer = await api
      .request('POST', '/events', { type: this.type, data: { n: this.acknowledged.size } })
      .catch(() => undefined);
    if (answer?.status === 202) this.acknowledged.add(answer.body.id);
    else this.refusals.push(answer?.status ?? 0);
  }

  /** So many publishers that send one after the other, until {@link stopLoad}. */
  startLoad(api: ApiClient, publishers = 4): void {
    this.publishers = Array.from({ length: publishers }, async () => {
      while (this.isRunning) await this.publish(api);
    });
  }

  async stopLoad(): Promise<void> {
    this.isRunning = false;
    await Promise.all(this.publishers);
  }

  /** Waits until so many were acknowledged. */
  async reaches(count: number): Promise<void> {
    await eventually(() => expect(this.acknowledged.size).toBeGreaterThanOrEqual(count));
  }

  /** Waits until everything that was acknowledged has been received. */
  async expectAllAt(receiver: WebhookReceiver, patienceMs = 25_000): Promise<void> {
    await eventually(() => expect(this.missingAt(receiver)).toEqual([]), patienceMs);
  }

  /** Ids that were received more than once. */
  duplicatesAt(receiver: WebhookReceiver): string[] {
    const seen = new Set<string>();
    return receiver.requests
      .map((request) => request.json.id)
      .filter((id) => seen.has(id) || !seen.add(id));
  }

  private missingAt(receiver: WebhookReceiver): string[] {
    const received = new Set(receiver.requests.map((request) => request.json.id));
    return [...this.acknowledged].filter((id) => !received.has(id));
  }
}

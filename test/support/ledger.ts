import { expect } from 'vitest';
import type { ApiClient } from './api-client.js';
import { eventually } from './eventually.js';
import type { WebhookReceiver } from './webhook-receiver.js';

/**
 * The answers that publishers got, to compare with what a receiver received: every event that was
 * answered with 202 must arrive, whatever happens to the product in between.
 */
export class Ledger {
  /** Ids that were acknowledged. */
  readonly acknowledged = new Set<string>();
  /** Statuses of requests that were not; 0: no answer. */
  readonly refusals: number[] = [];
  private isRunning = true;
  private publishers: Promise<void>[] = [];

  constructor(private readonly type: string) {}

  /** Publishes one event; a refusal is recorded and not thrown. */
  async publish(api: ApiClient): Promise<void> {
    const answer = await api
      .request('POST', '/events', { type: this.type, data: { n: this.acknowledged.size } })
      .catch(() => undefined);
    if (answer?.status === 202) this.acknowledged.add(answer.body.id);
    else this.refusals.push(answer?.status ?? 0);
  }

  /** Starts publishers that each send one event after the other, until {@link stopLoad}. */
  startLoad(api: ApiClient, publishers = 4): void {
    this.publishers = Array.from({ length: publishers }, async () => {
      while (this.isRunning) await this.publish(api);
    });
  }

  async stopLoad(): Promise<void> {
    this.isRunning = false;
    await Promise.all(this.publishers);
  }

  /** Waits until this number of events was acknowledged. */
  async reaches(count: number): Promise<void> {
    await eventually(() => expect(this.acknowledged.size).toBeGreaterThanOrEqual(count));
  }

  /** Waits until everything that was acknowledged has been received. */
  async expectAllAt(receiver: WebhookReceiver, timeoutMs = 25_000): Promise<void> {
    await eventually(() => expect(this.missingAt(receiver)).toEqual([]), timeoutMs);
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

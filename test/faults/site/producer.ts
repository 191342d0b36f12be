import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { adminToken, tokenFor } from '../../support/tokens.js';
import type { LedgerRecord } from '../ledger/records.js';

/** The timeout of a request; then it is repeated. */
const TIMEOUT_MS = 5_000;
const RETRY_PAUSE_MS = 100;
/** How long a producer repeats the publication of one event. */
const GIVE_UP_MS = 30_000;

/** Data that parsing and writing again could change: escapes, other scripts, inexact numbers. */
const AWKWARD = {
  text: 'é "\\" </script> \u2028 \u{1F514}',
  number: 0.1,
  deep: [[[{}]]],
  empty: '',
};

interface Answer {
  status: number;
  eventId: string | null;
}

/**
 * Publishes as a careful client does: one event after the other, with an idempotency key, and again
 * with the same key until the answer is 202. Records its requests and their answers.
 */
export class Producer {
  private readonly token: string;
  private loop: Promise<void> | undefined;
  private isStopped = false;
  private seq = 0;

  constructor(
    private readonly name: string,
    /** null: public events. */
    private readonly ownerId: string | null,
    private readonly typePrefix: string,
    private readonly baseUrl: () => string,
    private readonly write: (record: LedgerRecord) => void,
  ) {
    this.token = ownerId === null ? adminToken() : tokenFor(ownerId);
  }

  /** Starts to publish with this pause between events, up to the limit. */
  start(gapMs: number, limit: number): void {
    this.loop = this.run(gapMs, limit);
  }

  /** Stops after the current event. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await this.loop;
  }

  /** Publishes one event until it is accepted. Returns its id; undefined if it never was. */
  async publish(kind: string, nonce: string = randomUUID()): Promise<string | undefined> {
    const type = `${this.typePrefix}.${kind}`;
    const { name: producer, ownerId } = this;
    const seq = this.seq++;
    this.write({ kind: 'asked', at: Date.now(), nonce, ownerId, type, producer, seq });
    const body = JSON.stringify({ type, data: { nonce, ...AWKWARD } });
    const deadline = performance.now() + GIVE_UP_MS;
    for (;;) {
      const isDoubled = seq % 16 === 7;
      const answers = await Promise.all(
        Array.from({ length: isDoubled ? 2 : 1 }, () => this.ask(nonce, body)),
      );
      const accepted = answers.find(({ status }) => status === 202);
      if (accepted?.eventId) return accepted.eventId;
      if (answers.some(({ status }) => status >= 400 && status < 500 && status !== 409)) {
        return undefined;
      }
      if (performance.now() > deadline) return undefined;
      await delay(RETRY_PAUSE_MS);
    }
  }

  private async run(gapMs: number, limit: number): Promise<void> {
    for (let count = 0; count < limit && !this.isStopped; count++) {
      await this.publish(count % 2 === 0 ? 'one' : 'two.below');
      await delay(gapMs);
    }
  }

  private async ask(nonce: string, body: string): Promise<Answer> {
    const answer = await this.request(nonce, body).catch(() => ({ status: 0, eventId: null }));
    this.write({ kind: 'answered', at: Date.now(), nonce, ...answer });
    return answer;
  }

  private async request(nonce: string, body: string): Promise<Answer> {
    const response = await fetch(`${this.baseUrl()}/api/v1/events`, {
      method: 'POST',
      headers: {
        authorization: `Bearer ${this.token}`,
        'content-type': 'application/json',
        'idempotency-key': nonce,
      },
      body,
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const { id } = (await response.json()) as { id?: string };
    return { status: response.status, eventId: response.status === 202 ? (id ?? null) : null };
  }
}

import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { adminToken, tokenFor } from '../../support/tokens.js';
import type { LedgerRecord } from '../ledger/records.js';

/** A client that waits longer than this has gone, and asks again. */
const PATIENCE_MS = 5_000;
const BETWEEN_TRIES_MS = 100;
/** How long a publisher goes on asking for its last event. */
const GIVE_UP_MS = 30_000;

/** Text that a careless copy would change: escapes, other scripts, numbers that floats cannot hold. */
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
 * Publishes as a careful client does: with an idempotency key, one event after the other, and again
 * with the same key until the answer is 202. Writes down what it asked and what it was answered.
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

  /** Starts to publish at about this rate, at most so many. */
  start(gapMs: number, limit: number): void {
    this.loop = this.run(gapMs, limit);
  }

  /** Ends after the event that it is about. */
  async stop(): Promise<void> {
    this.isStopped = true;
    await this.loop;
  }

  /** One event, asked for until it is accepted. Answers with its id; undefined if that never came. */
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
      await delay(BETWEEN_TRIES_MS);
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
      signal: AbortSignal.timeout(PATIENCE_MS),
    });
    const { id } = (await response.json()) as { id?: string };
    return { status: response.status, eventId: response.status === 202 ? (id ?? null) : null };
  }
}

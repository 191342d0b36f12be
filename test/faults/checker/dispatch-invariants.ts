import type { Registered } from '../ledger/records.js';
import { type Facts, expectedDeliveries, maySucceed, pair, type Request } from './facts.js';

/** An event in the order of a webhook, and when it ended. */
interface Position {
  eventId: string;
  askedAt: number;
  acceptedAt: number;
  /** When later events need not wait for it any more; infinite: never. */
  endedAt: number;
  /** The request that ended it. */
  receipt: string | undefined;
  requests: readonly Request[];
}

/**
 * I4: an ordered webhook is sent one event at a time in the order of publication, and no event before
 * all earlier ones have succeeded or are dead.
 *
 * An event is certainly earlier only if its answer came before the publication of the other one. That
 * holds for all events of the same producer, and for most events of others.
 */
export function orderIsKept(facts: Facts): string[] {
  return facts.ledger.registered
    .filter(({ ordering }) => ordering === 'fifo')
    .flatMap((webhook) =>
      overtakings(positionsOf(facts, webhook)).map((at) => `${webhook.webhookId}: ${at}`),
    );
}

function overtakings(positions: readonly Position[]): string[] {
  const byAcceptance = positions.toSorted((a, b) => a.acceptedAt - b.acceptedAt);
  const problems: string[] = [];
  let next = 0;
  let last: Position | undefined;
  for (const position of positions.toSorted((a, b) => a.askedAt - b.askedAt)) {
    for (; byAcceptance[next] && byAcceptance[next]!.acceptedAt < position.askedAt; next++) {
      if (!last || byAcceptance[next]!.endedAt > last.endedAt) last = byAcceptance[next];
    }
    if (last && overtakes(position, last))
      problems.push(`${position.eventId} overtook ${last.eventId}`);
  }
  return problems;
}

/** Two events may be in the same request: a batch. */
const overtakes = ({ requests }: Position, before: Position): boolean =>
  requests.some(
    ({ received }) => received.at < before.endedAt && received.receipt !== before.receipt,
  );

function positionsOf(facts: Facts, { webhookId }: Registered): Position[] {
  return [...expectedDeliveries(facts)]
    .filter(({ webhook }) => webhook.webhookId === webhookId)
    .map(({ eventId }) => {
      const { accepted, asked } = facts.accepted.get(eventId)!;
      const requests = facts.copies.get(pair(eventId, webhookId)) ?? [];
      const success = requests.find(({ status }) => maySucceed(status));
      return {
        eventId,
        askedAt: asked.at,
        acceptedAt: accepted!.at,
        endedAt: Math.min(success?.repliedAt ?? Infinity, deadAt(facts, eventId, webhookId)),
        receipt: success?.received.receipt,
        requests,
      };
    });
}

/** When it became a dead letter or was canceled; infinite: never. */
function deadAt({ deliveries }: Facts, eventId: string, webhookId: string): number {
  const dead = deliveries
    .get(pair(eventId, webhookId))
    ?.find(({ status }) => status === 'dead_letter' || status === 'canceled');
  return dead?.completedAt ?? Infinity;
}

/** On a busy machine two requests may be recorded closer together than they arrived, by this much. */
const CLOCK_TOLERANCE_MS = 100;

/** I12: no window of time has more requests than the rate limit, no batch more events than allowed. */
export function dispatchPolicyIsKept(facts: Facts): string[] {
  return facts.ledger.registered.flatMap((webhook) => {
    const { webhookId } = webhook;
    const requests = facts.requests.filter(({ received }) => received.webhookId === webhookId);
    const problems = [...tooFast(webhook, requests), ...wrongBatches(facts, webhook, requests)];
    return problems.map((problem) => `${webhookId}: ${problem}`);
  });
}

function tooFast({ rateLimit }: Registered, requests: readonly Request[]): string[] {
  if (!rateLimit) return [];
  const { max, perMs } = rateLimit;
  return requests.flatMap(({ received }, index) => {
    const beyond = requests[index + max]?.received.at ?? Infinity;
    const tookMs = beyond - received.at;
    return tookMs < perMs - CLOCK_TOLERANCE_MS ? [`${max + 1} requests within ${tookMs} ms`] : [];
  });
}

function wrongBatches(
  facts: Facts,
  { webhookId, batch }: Registered,
  requests: readonly Request[],
): string[] {
  const sizes = new Map<string, number>();
  for (const { received } of [...facts.copies.values()].flat()) {
    if (received.webhookId !== webhookId) continue;
    sizes.set(received.receipt, (sizes.get(received.receipt) ?? 0) + 1);
  }
  return requests.flatMap(({ received: { receipt, batchSize, messageId } }) => {
    const size = sizes.get(receipt) ?? 0;
    if ((batchSize === null) !== (batch === null)) {
      return [`${messageId} is ${batch ? 'not a batch' : 'a batch'}`];
    }
    if (batchSize !== null && batchSize !== size) {
      return [`${messageId} has ${size} events, but its header says ${batchSize}`];
    }
    return batch && size > batch.maxEvents ? [`${messageId} has ${size} events`] : [];
  });
}

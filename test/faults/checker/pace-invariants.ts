import type { Registered } from '../ledger/records.js';
import { type Facts, maySucceed, owed, pair, type Request } from './facts.js';

/** What is over for an ordered webhook, or is not. */
interface Place {
  eventId: string;
  askedAt: number;
  acceptedAt: number;
  /** When nothing had to wait for it any more; infinite: never. */
  endedAt: number;
  /** The request that ended it. */
  receipt: string | undefined;
  requests: readonly Request[];
}

/**
 * I4: an ordered webhook is sent one event at a time in the order of publication, and nothing of an
 * event before what was published earlier has succeeded or is dead.
 *
 * Only what was answered before the other was asked for is certain to come before it: that is every
 * event of the same producer, and most of the others'.
 */
export function orderIsKept(facts: Facts): string[] {
  return facts.ledger.registered
    .filter(({ ordering }) => ordering === 'fifo')
    .flatMap((webhook) =>
      passings(lineOf(facts, webhook)).map((at) => `${webhook.webhookId}: ${at}`),
    );
}

function passings(line: readonly Place[]): string[] {
  const byAcceptance = line.toSorted((a, b) => a.acceptedAt - b.acceptedAt);
  const problems: string[] = [];
  let next = 0;
  let last: Place | undefined;
  for (const place of line.toSorted((a, b) => a.askedAt - b.askedAt)) {
    for (; byAcceptance[next] && byAcceptance[next]!.acceptedAt < place.askedAt; next++) {
      if (!last || byAcceptance[next]!.endedAt > last.endedAt) last = byAcceptance[next];
    }
    if (last && passes(place, last)) problems.push(`${place.eventId} passed ${last.eventId}`);
  }
  return problems;
}

/** In a batch they may come together. */
const passes = ({ requests }: Place, before: Place): boolean =>
  requests.some(
    ({ received }) => received.at < before.endedAt && received.receipt !== before.receipt,
  );

function lineOf(facts: Facts, { webhookId }: Registered): Place[] {
  return [...owed(facts)]
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

/** When it was given up; infinite: it was not. */
function deadAt({ deliveries }: Facts, eventId: string, webhookId: string): number {
  const dead = deliveries
    .get(pair(eventId, webhookId))
    ?.find(({ status }) => status === 'dead_letter' || status === 'canceled');
  return dead?.completedAt ?? Infinity;
}

/** How much closer together two requests may be noted than they came, on a busy machine. */
const NOTED_WITHIN_MS = 100;

/** I12: no window of time holds more requests than it may, and no batch more events. */
export function paceIsKept(facts: Facts): string[] {
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
    return tookMs < perMs - NOTED_WITHIN_MS ? [`${max + 1} requests within ${tookMs} ms`] : [];
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
      return [`${messageId} is ${batch ? 'no batch' : 'a batch'}`];
    }
    if (batchSize !== null && batchSize !== size) {
      return [`${messageId} says that it has ${batchSize} events, and has ${size}`];
    }
    return batch && size > batch.maxEvents ? [`${messageId} has ${size} events`] : [];
  });
}

import {
  type Copy,
  type Facts,
  isFinal,
  isSuccess,
  maySucceed,
  nonceIn,
  owed,
  pair,
} from './facts.js';

/**
 * How long after its answer an outcome may still be unwritten on a busy machine: a process that dies
 * within it may leave an attempt to be made again.
 */
const RECORD_WITHIN_MS = 5_000;

/** I1: what was acknowledged has arrived, or stands in exactly one final state that can be seen. */
export function everythingAcceptedArrives(facts: Facts): string[] {
  const problems: string[] = [];
  for (const { eventId, webhook } of owed(facts)) {
    const key = pair(eventId, webhook.webhookId);
    if (facts.copies.get(key)?.some(({ status }) => isSuccess(status))) continue;
    const states = (facts.deliveries.get(key) ?? []).map(({ status }) => status);
    // A success that no receiver saw is no end; unless its answer could be taken for one.
    const isAmbiguous = facts.copies.get(key)?.some(({ status }) => status === -1) ?? false;
    const ends = states.filter((s) => isFinal(s) && (s !== 'success' || isAmbiguous));
    if (states.length === 1 && ends.length === 1) continue;
    const seen = states.length === 0 ? 'no delivery is on record' : `it is ${states.join(', ')}`;
    problems.push(`${eventId} was accepted and never arrived at ${webhook.webhookId}: ${seen}`);
  }
  return problems;
}

/** I2: nothing is sent, told or stored that nobody asked for, and one key makes one event. */
export function nothingIsInvented(facts: Facts): string[] {
  const problems: string[] = [];
  const idsOf = new Map<string, Set<string>>();
  const note = (where: string, eventId: string, body: string): void => {
    const nonce = nonceIn(body);
    const publication = nonce === undefined ? undefined : facts.byNonce.get(nonce);
    if (!publication) problems.push(`${where} has ${eventId}, which nobody asked for`);
    else if (wasRefused(publication.answers)) problems.push(`${where} has ${eventId}, refused`);
    else idsOf.set(nonce!, (idsOf.get(nonce!) ?? new Set()).add(eventId));
  };
  for (const { webhookId, eventId, body } of facts.ledger.received) note(webhookId, eventId, body);
  for (const { ownerId, eventId, body } of facts.ledger.heard) {
    note(`the socket of ${ownerId}`, eventId, body);
  }
  for (const { id, body } of facts.dump.events) note('the log', id, body);
  for (const { nonce, eventId } of facts.ledger.answered) {
    if (eventId !== null) idsOf.set(nonce, (idsOf.get(nonce) ?? new Set()).add(eventId));
  }
  for (const [nonce, ids] of idsOf) {
    if (ids.size > 1) problems.push(`the key ${nonce} made ${ids.size} events: ${[...ids].join()}`);
  }
  const stored = new Set(facts.dump.events.map(({ id }) => id));
  for (const id of facts.accepted.keys()) {
    if (!stored.has(id)) problems.push(`${id} was accepted and is not in the log`);
  }
  return problems;
}

/** A 4xx says that nothing came of it; 5xx and no answer say nothing. */
const wasRefused = (answers: readonly { status: number }[]): boolean =>
  answers.length > 0 && answers.every(({ status }) => status >= 400 && status < 500);

/** I3: no more copies than failures and crashes explain, and every copy is the same. */
export function copiesAreExplainedAndEqual(facts: Facts): string[] {
  const problems: string[] = [];
  const bodyOf = new Map<string, string>();
  for (const [key, copies] of facts.copies) {
    const { eventId, body, deliveryId } = copies[0]!.received;
    const others = copies.map(({ received }) => received);
    const first = bodyOf.get(eventId) ?? body;
    bodyOf.set(eventId, first);
    if (others.some((copy) => copy.body !== first)) {
      problems.push(`${key}: copies with different bytes`);
    }
    if (others.some((copy) => copy.deliveryId !== deliveryId)) {
      problems.push(`${key}: copies with different delivery ids`);
    }
    const most = 1 + failedAttempts(facts, deliveryId) + disturbancesOf(facts, copies);
    if (copies.length > most) {
      problems.push(`${key}: ${copies.length} copies, and reasons for ${most}`);
    }
  }
  return problems;
}

const failedAttempts = (facts: Facts, deliveryId: string): number =>
  (facts.attempts.get(deliveryId) ?? []).filter(({ statusCode }) => !isSuccess(statusCode)).length;

/** Crashes and standstills in the midst of these attempts, or before their outcomes were written. */
export const disturbancesOf = (facts: Facts, copies: readonly Copy[]): number =>
  facts.ledger.disturbed.filter(({ from, until }) =>
    copies.some(({ received, repliedAt }) => {
      // Signed before the end of the disturbance: what stood still with the process comes after it.
      const startedAt = Number(received.timestamp) * 1_000;
      const writtenBy = (repliedAt ?? received.at) + RECORD_WITHIN_MS;
      return startedAt <= until && writtenBy >= from;
    }),
  ).length;

/** I4: an ordered webhook succeeds in the order of publication, and passes nothing that is owed. */
export function orderIsKept(facts: Facts): string[] {
  return facts.ledger.registered
    .filter(({ ordering }) => ordering === 'fifo')
    .flatMap(({ webhookId }) => orderProblems(facts, webhookId));
}

function orderProblems(facts: Facts, webhookId: string): string[] {
  const line = [...owed(facts)]
    .filter(({ webhook }) => webhook.webhookId === webhookId)
    .map(({ eventId }) => {
      const { accepted, asked } = facts.accepted.get(eventId)!;
      const end = endAt(facts, eventId, webhookId);
      return { eventId, end, askedAt: asked.at, acceptedAt: accepted!.at };
    });
  const byAsking = line.toSorted((a, b) => a.askedAt - b.askedAt);
  const byAcceptance = line.toSorted((a, b) => a.acceptedAt - b.acceptedAt);
  const problems: string[] = [];
  let next = 0;
  let last: (typeof line)[number] | undefined;
  for (const event of byAsking) {
    // Only what was answered before this one was asked for is certain to come before it.
    for (; byAcceptance[next] && byAcceptance[next]!.acceptedAt < event.askedAt; next++) {
      if (!last || byAcceptance[next]!.end > last.end) last = byAcceptance[next];
    }
    const hasArrived = event.end !== Number.POSITIVE_INFINITY && event.end !== DEAD;
    if (last && hasArrived && event.end < last.end) {
      problems.push(`${webhookId}: ${event.eventId} passed ${last.eventId}`);
    }
  }
  return problems;
}

/** Before everything: what is dead holds nobody up. */
const DEAD = 0;

/** When an ordered webhook had done with an event; infinite: not yet. */
function endAt(facts: Facts, eventId: string, webhookId: string): number {
  const rows = facts.deliveries.get(pair(eventId, webhookId)) ?? [];
  const isDead = rows.some(({ status }) => status === 'dead_letter' || status === 'canceled');
  if (isDead) return DEAD;
  return firstSuccess(facts, eventId, webhookId) ?? Number.POSITIVE_INFINITY;
}

const firstSuccess = (facts: Facts, eventId: string, webhookId: string): number | undefined =>
  facts.copies.get(pair(eventId, webhookId))?.find(({ status }) => maySucceed(status))?.received.at;

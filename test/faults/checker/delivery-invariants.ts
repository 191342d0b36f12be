import {
  deliveryIdOf,
  type Facts,
  groupBy,
  isFinal,
  isSuccess,
  nonceIn,
  expectedDeliveries,
  pair,
  type Request,
} from './facts.js';

/**
 * How long after the answer an outcome may still be unwritten on a busy machine. If the process dies
 * within this time, the attempt may be repeated.
 */
const RECORD_WITHIN_MS = 5_000;

/** I1: each acknowledged event has arrived, or its delivery has exactly one visible final state. */
export function everythingAcceptedArrives(facts: Facts): string[] {
  const problems: string[] = [];
  for (const { eventId, webhook } of expectedDeliveries(facts)) {
    const key = pair(eventId, webhook.webhookId);
    if (facts.copies.get(key)?.some(({ status }) => isSuccess(status))) continue;
    const states = (facts.deliveries.get(key) ?? []).map(({ status }) => status);
    // A success that no receiver saw does not count, unless the answer was ambiguous.
    const isAmbiguous = facts.copies.get(key)?.some(({ status }) => status === -1) ?? false;
    const ends = states.filter((s) => isFinal(s) && (s !== 'success' || isAmbiguous));
    if (states.length === 1 && ends.length === 1) continue;
    const seen = states.length === 0 ? 'no delivery is on record' : `it is ${states.join(', ')}`;
    problems.push(`${eventId} was accepted and never arrived at ${webhook.webhookId}: ${seen}`);
  }
  return problems;
}

/** I2: nothing is sent, pushed or stored that was not published; one key creates one event. */
export function nothingIsInvented(facts: Facts): string[] {
  const problems: string[] = [];
  const idsOf = new Map<string, Set<string>>();
  const note = (where: string, eventId: string, body: string): void => {
    const nonce = nonceIn(body);
    const publication = nonce === undefined ? undefined : facts.byNonce.get(nonce);
    if (!publication) problems.push(`${where} has ${eventId}, which no producer published`);
    else if (wasRefused(publication.answers)) problems.push(`${where} has ${eventId}, refused`);
    else idsOf.set(nonce!, (idsOf.get(nonce!) ?? new Set()).add(eventId));
  };
  for (const { received, eventId, body } of [...facts.copies.values()].flat()) {
    note(received.webhookId, eventId, body);
  }
  for (const { ownerId, eventId, body } of facts.ledger.pushed) {
    note(`the socket of ${ownerId}`, eventId, body);
  }
  for (const { id, body } of facts.dump.events) note('the log', id, body);
  for (const { nonce, eventId } of facts.ledger.answered) {
    if (eventId !== null) idsOf.set(nonce, (idsOf.get(nonce) ?? new Set()).add(eventId));
  }
  for (const [nonce, ids] of idsOf) {
    if (ids.size > 1)
      problems.push(`the key ${nonce} created ${ids.size} events: ${[...ids].join()}`);
  }
  const stored = new Set(facts.dump.events.map(({ id }) => id));
  for (const id of facts.accepted.keys()) {
    if (!stored.has(id)) problems.push(`${id} was accepted and is not in the log`);
  }
  return problems;
}

/** After a 4xx no event may exist; after a 5xx or no answer it may. */
const wasRefused = (answers: readonly { status: number }[]): boolean =>
  answers.length > 0 && answers.every(({ status }) => status >= 400 && status < 500);

/** I3: no more copies than failures, crashes and closed connections explain, and every copy is the same. */
export function copiesAreExplainedAndEqual(facts: Facts): string[] {
  const problems: string[] = [];
  const bodyOf = new Map<string, string>();
  for (const [key, copies] of facts.copies) {
    const { eventId, body } = copies[0]!;
    const { webhookId } = copies[0]!.received;
    const deliveryId = deliveryIdOf(facts, key, copies);
    // What the operator receives names the owner; all owners receive the same.
    const audience = `${eventId} ${facts.webhooks.get(webhookId)?.ownerId === null}`;
    const first = bodyOf.get(audience) ?? body;
    bodyOf.set(audience, first);
    if (copies.some((copy) => copy.body !== first)) {
      problems.push(`${key}: copies with different bytes`);
    }
    if (copies.some(({ received }) => !['', deliveryId].includes(received.deliveryId))) {
      problems.push(`${key}: copies with different delivery ids`);
    }
    const reasons = failedAttempts(facts, deliveryId) + resentAttempts(facts, deliveryId);
    const most = 1 + reasons + disturbancesOf(facts, copies);
    if (copies.length > most) {
      problems.push(`${key}: ${copies.length} copies, and reasons for ${most}`);
    }
  }
  return [...problems, ...changedBatches(facts)];
}

/** A repeated batch has the same events, except those that have ended meanwhile. */
function changedBatches({ copies }: Facts): string[] {
  const elements = [...copies.values()]
    .flat()
    .filter(({ received }) => received.batchSize !== null);
  const batches = groupBy(elements, ({ received }) => pair(received.messageId, received.webhookId));
  return [...batches].flatMap(([key, own]) => {
    const [first, ...others] = groupBy(own, ({ received }) => received.receipt).values();
    const ids = new Set(first!.map(({ eventId }) => eventId));
    const isSame = others.every((other) => other.every(({ eventId }) => ids.has(eventId)));
    return isSame ? [] : [`${key}: the batch was repeated with other events`];
  });
}

const failedAttempts = (facts: Facts, deliveryId: string): number =>
  (facts.attempts.get(deliveryId) ?? []).filter(({ statusCode }) => !isSuccess(statusCode)).length;

/** Attempts whose connection was closed by the receiver, so that their request was sent once more. */
export const resentAttempts = (facts: Facts, deliveryId: string): number =>
  (facts.attempts.get(deliveryId) ?? []).filter(({ resent }) => resent).length;

/** Crashes and stops during these attempts, or before their outcomes were written. */
export const disturbancesOf = (facts: Facts, copies: readonly Request[]): number =>
  facts.ledger.disturbed.filter(({ from, until }) =>
    copies.some(({ received, repliedAt }) => {
      // Signed before the end: a stopped process sends its requests afterwards.
      const startedAt = Number(received.timestamp) * 1_000;
      const writtenBy = (repliedAt ?? received.at) + RECORD_WITHIN_MS;
      return startedAt <= until && writtenBy >= from;
    }),
  ).length;

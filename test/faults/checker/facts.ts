import type {
  Answered,
  Asked,
  Dump,
  History,
  Ledger,
  Received,
  Registered,
} from '../ledger/records.js';

/** A publication, with everything that was answered to it. */
export interface Publication {
  asked: Asked;
  answers: Answered[];
  /** Undefined: it was never acknowledged. */
  accepted: { eventId: string; at: number } | undefined;
}

/** A request that a receiver got, with what it answered. */
export interface Copy {
  received: Received;
  /** 0 as long as nothing was answered. */
  status: number;
  /** When it was answered; undefined: never. */
  repliedAt: number | undefined;
}

/** A history, looked up by what the invariants ask for. */
export interface Facts {
  ledger: Ledger;
  dump: Dump;
  publications: Publication[];
  byNonce: ReadonlyMap<string, Publication>;
  accepted: ReadonlyMap<string, Publication>;
  webhooks: ReadonlyMap<string, Registered>;
  /** All requests of one event at one webhook, in the order of their coming. */
  copies: ReadonlyMap<string, Copy[]>;
  deliveries: ReadonlyMap<string, Dump['deliveries']>;
  attempts: ReadonlyMap<string, Dump['attempts']>;
}

export const pair = (eventId: string, webhookId: string): string => `${eventId} ${webhookId}`;

export const isSuccess = (status: number | null): boolean =>
  status !== null && status >= 200 && status < 300;

/** Whether something else than a plain failure was answered. */
export const maySucceed = (status: number): boolean => status === -1 || isSuccess(status);

export const isFinal = (status: string): boolean =>
  ['success', 'dead_letter', 'canceled'].includes(status);

export function factsOf({ ledger, dump }: History): Facts {
  const publications = publicationsOf(ledger);
  return {
    ledger,
    dump,
    publications,
    byNonce: new Map(publications.map((p) => [p.asked.nonce, p])),
    accepted: new Map(publications.flatMap((p) => (p.accepted ? [[p.accepted.eventId, p]] : []))),
    webhooks: new Map(ledger.registered.map((webhook) => [webhook.webhookId, webhook])),
    copies: copiesOf(ledger),
    deliveries: groupBy(dump.deliveries, (d) => pair(d.eventId, d.webhookId)),
    attempts: groupBy(dump.attempts, (attempt) => attempt.deliveryId),
  };
}

function publicationsOf(ledger: Ledger): Publication[] {
  const answers = groupBy(ledger.answered, (answer) => answer.nonce);
  return ledger.asked.map((asked) => {
    const own = answers.get(asked.nonce) ?? [];
    const first = own.find((answer) => answer.status === 202 && answer.eventId !== null);
    const accepted = first && { eventId: first.eventId!, at: first.at };
    return { asked, answers: own, accepted };
  });
}

function copiesOf(ledger: Ledger): Map<string, Copy[]> {
  const replies = new Map(ledger.replied.map((reply) => [reply.receipt, reply]));
  const copies = ledger.received.map((received): Copy => {
    const reply = replies.get(received.receipt);
    return { received, status: reply?.status ?? 0, repliedAt: reply?.at };
  });
  copies.sort((a, b) => a.received.at - b.received.at);
  return groupBy(copies, ({ received }) => pair(received.eventId, received.webhookId));
}

function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

/** The rule of who hears, written once more: the checker must not take it from what it checks. */
function isOwed({ asked }: Publication, webhook: Registered): boolean {
  const isVisible =
    asked.ownerId === null || webhook.ownerId === null || asked.ownerId === webhook.ownerId;
  return isVisible && webhook.events.some((pattern) => selects(pattern, asked.type));
}

function selects(pattern: string, type: string): boolean {
  if (pattern === '*' || pattern === type) return true;
  return pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1));
}

/** What was accepted and is owed to a webhook that had been registered before it was asked for. */
export function* owed(facts: Facts): Generator<{ eventId: string; webhook: Registered }> {
  for (const publication of facts.publications) {
    const { accepted, asked } = publication;
    if (!accepted) continue;
    for (const webhook of facts.ledger.registered) {
      if (webhook.at > asked.at || !isOwed(publication, webhook)) continue;
      yield { eventId: accepted.eventId, webhook };
    }
  }
}

/** The nonce that a body carries; undefined for a body that no producer made. */
export function nonceIn(body: string): string | undefined {
  try {
    const { data } = JSON.parse(body) as { data?: { nonce?: unknown } };
    return typeof data?.nonce === 'string' ? data.nonce : undefined;
  } catch {
    return undefined;
  }
}

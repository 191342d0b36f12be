import type {
  Answered,
  Asked,
  Dump,
  History,
  Ledger,
  Received,
  Registered,
} from '../ledger/records.js';
import { elementsOf } from './json-array.js';

/** A publication with its answers. */
export interface Publication {
  asked: Asked;
  answers: Answered[];
  /** Undefined if it was never acknowledged. */
  accepted: { eventId: string; at: number } | undefined;
}

/** A request that a receiver got, with its answer. */
export interface Request {
  received: Received;
  /** 0 without an answer. */
  status: number;
  /** When it was answered; undefined: never. */
  repliedAt: number | undefined;
}

/** The copy of one event in a request: the whole body, or an element of a batch. */
export interface Copy extends Request {
  eventId: string;
  /** The bytes of the event. */
  body: string;
}

/** A history with indexes for the invariants. */
export interface Facts {
  ledger: Ledger;
  dump: Dump;
  publications: Publication[];
  byNonce: ReadonlyMap<string, Publication>;
  accepted: ReadonlyMap<string, Publication>;
  webhooks: ReadonlyMap<string, Registered>;
  /** In the order of arrival. */
  requests: readonly Request[];
  /** All copies of one event at one webhook, in the order of arrival. */
  copies: ReadonlyMap<string, Copy[]>;
  deliveries: ReadonlyMap<string, Dump['deliveries']>;
  attempts: ReadonlyMap<string, Dump['attempts']>;
}

export const pair = (eventId: string, webhookId: string): string => `${eventId} ${webhookId}`;

export const isSuccess = (status: number | null): boolean =>
  status !== null && status >= 200 && status < 300;

/** Whether the answer was not clearly a failure. */
export const maySucceed = (status: number): boolean => status === -1 || isSuccess(status);

/** Whether the answer is clearly a failure for the sender. */
export const isFailure = (status: number): boolean => !maySucceed(status) && status !== 410;

export const isFinal = (status: string): boolean =>
  ['success', 'dead_letter', 'canceled'].includes(status);

export function factsOf({ ledger, dump }: History): Facts {
  const publications = publicationsOf(ledger);
  const requests = requestsOf(ledger);
  return {
    ledger,
    dump,
    publications,
    byNonce: new Map(publications.map((p) => [p.asked.nonce, p])),
    accepted: new Map(publications.flatMap((p) => (p.accepted ? [[p.accepted.eventId, p]] : []))),
    webhooks: new Map(ledger.registered.map((webhook) => [webhook.webhookId, webhook])),
    requests,
    copies: groupBy(requests.flatMap(copiesOf), (copy) =>
      pair(copy.eventId, copy.received.webhookId),
    ),
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

function requestsOf(ledger: Ledger): Request[] {
  const replies = new Map(ledger.replied.map((reply) => [reply.receipt, reply]));
  const requests = ledger.received.map((received): Request => {
    const reply = replies.get(received.receipt);
    return { received, status: reply?.status ?? 0, repliedAt: reply?.at };
  });
  return requests.sort((a, b) => a.received.at - b.received.at);
}

function copiesOf(request: Request): Copy[] {
  const { messageId, batchSize, body } = request.received;
  const elements = batchSize === null ? undefined : elementsOf(body);
  if (!elements) return [{ ...request, eventId: messageId, body }];
  return elements.map((element) => ({ ...request, eventId: idIn(element), body: element }));
}

export function groupBy<T>(items: readonly T[], keyOf: (item: T) => string): Map<string, T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group) group.push(item);
    else groups.set(key, [item]);
  }
  return groups;
}

/** The visibility rule, implemented again: the checker must not share code with the product. */
export function mayReceive(
  { asked }: Publication,
  { ownerId, events }: Pick<Registered, 'ownerId' | 'events'>,
): boolean {
  const isVisible = asked.ownerId === null || ownerId === null || asked.ownerId === ownerId;
  return isVisible && events.some((pattern) => selects(pattern, asked.type));
}

function selects(pattern: string, type: string): boolean {
  if (pattern === '*' || pattern === type) return true;
  return pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -1));
}

/** The delivery of these copies; for batches it is only in the table. */
export const deliveryIdOf = (facts: Facts, key: string, copies: readonly Copy[]): string =>
  copies.find(({ received }) => received.deliveryId !== '')?.received.deliveryId ??
  facts.deliveries.get(key)?.[0]?.id ??
  '';

/** The deliveries of accepted events to webhooks that were registered before the publication. */
export function* expectedDeliveries(
  facts: Facts,
): Generator<{ eventId: string; webhook: Registered }> {
  for (const publication of facts.publications) {
    const { accepted, asked } = publication;
    if (!accepted) continue;
    for (const webhook of facts.ledger.registered) {
      if (webhook.at > asked.at || !mayReceive(publication, webhook)) continue;
      yield { eventId: accepted.eventId, webhook };
    }
  }
}

/** The nonce in a body; undefined for a body of no producer. */
export function nonceIn(body: string): string | undefined {
  const { data } = envelopeIn(body);
  return typeof data?.nonce === 'string' ? data.nonce : undefined;
}

function idIn(body: string): string {
  const { id } = envelopeIn(body);
  return typeof id === 'string' ? id : 'an event without id';
}

function envelopeIn(body: string): { id?: unknown; data?: { nonce?: unknown } | null } {
  try {
    return (JSON.parse(body) ?? {}) as ReturnType<typeof envelopeIn>;
  } catch {
    return {};
  }
}

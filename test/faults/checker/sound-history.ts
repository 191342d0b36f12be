import { createHmac } from 'node:crypto';
import { emptyLedger, type History, type Received, type Registered } from '../ledger/records.js';

const START = 1_790_000_000_000;
const SECRET = `whsec_${Buffer.alloc(32, 3).toString('base64')}`;

/** The publishers, in turn; the operator's events are public. */
const OWNERS = ['ada', 'bob', null];
const TOGETHER = 3;

/** Webhooks with different dispatch policies. */
const WEBHOOKS: (Pick<Registered, 'webhookId'> & Partial<Registered>)[] = [
  { webhookId: 'wh_ada', ordering: 'fifo' },
  { webhookId: 'wh_bob', ownerId: 'bob', rateLimit: { max: 3, perMs: 1_000 } },
  { webhookId: 'wh_operator', ownerId: null },
  { webhookId: 'wh_batch', ownerId: 'bob', batch: { maxEvents: TOGETHER } },
  { webhookId: 'wh_broken', events: ['broken.*'], isHealthy: false },
];

/**
 * The history of a small run without errors of the product: webhooks of three owners with order, rate
 * or batches, events of each owner in turn, one retry, one crash with its duplicate, one dead letter,
 * one batch that was sent twice, and one receiver that always fails.
 */
export function soundHistory(): History {
  const history: History = {
    ledger: emptyLedger(),
    dump: { events: [], deliveries: [], attempts: [], circuits: [] },
  };
  const { ledger } = history;
  for (const webhook of WEBHOOKS) register(history, webhook);
  for (const ownerId of ['ada', 'bob']) {
    const more = { pattern: 'run.*', after: null, isRecovered: false };
    ledger.subscribed.push({ kind: 'subscribed', at: START + 50, ownerId, ...more });
  }
  for (let seq = 0; seq < 12; seq++) publish(history, seq);
  for (const first of [1, 5, 10]) deliverTogether(history, first);
  failOnce(history, 'wh_bob', 'evt_1');
  crashAfter(history, 'wh_bob', 'evt_4');
  closeKept(history, 'wh_bob', 'evt_7');
  giveUp(history, 'wh_operator', 'evt_6');
  neverGetThrough(history, 12);
  const [from, at] = [START + 121_000, START + 121_001];
  const more = { pattern: 'run.*', after: 'evt_1', isRecovered: true };
  ledger.subscribed.push({ kind: 'subscribed', at: from, ownerId: 'ada', ...more });
  ledger.pushed.push({ ...ledger.pushed.find((pushed) => pushed.eventId === 'evt_2')!, at });
  ledger.healed.push({ kind: 'healed', at: START + 60_000, fault: 'none' });
  ledger.rested.push({ kind: 'rested', at: START + 60_500 });
  ledger.ended.push({
    kind: 'ended',
    at: START + 200_000,
    process: 'api',
    how: 'code 0',
    expected: 'code 0',
  });
  ledger.measured.push({
    kind: 'measured',
    at: START + 200_000,
    gauge: 'leases',
    value: '0',
    expected: '0',
  });
  return history;
}

function register({ ledger }: History, webhook: (typeof WEBHOOKS)[number]): void {
  const { webhookId } = webhook;
  ledger.registered.push({
    kind: 'registered',
    at: START,
    ownerId: 'ada',
    events: ['run.*'],
    ordering: 'none',
    rateLimit: null,
    batch: null,
    secret: SECRET,
    timeoutMs: 1_000,
    opensAfter: 5,
    isHealthy: true,
    ...webhook,
  });
  ledger.shown.push({ kind: 'shown', at: START, webhookId, active: true, circuit: 'closed' });
}

const timeOf = (seq: number): number => START + 100 + seq * 10_000;

function publish(history: History, seq: number): void {
  const { ledger } = history;
  const ownerId = OWNERS[seq % OWNERS.length]!;
  const { eventId, body, at } = accept(history, seq, 'run.one', ownerId);
  for (const { webhookId, ownerId: owner } of ledger.registered.slice(0, 3)) {
    if (ownerId !== null && owner !== null && ownerId !== owner) continue;
    deliver(history, webhookId, eventId, body, at + 20);
  }
  for (const listener of ['ada', 'bob']) {
    if (ownerId !== null && ownerId !== listener) continue;
    ledger.pushed.push({ kind: 'pushed', at: at + 10, ownerId: listener, eventId, body });
  }
}

function accept(
  { ledger, dump }: History,
  seq: number,
  type: string,
  ownerId: string | null,
): { eventId: string; body: string; at: number } {
  const at = timeOf(seq);
  const nonce = `nonce-${seq}`;
  const eventId = `evt_${seq}`;
  const body = JSON.stringify({ id: eventId, type, data: { nonce, text: '],[{\\"' } });
  ledger.asked.push({ kind: 'asked', at, nonce, ownerId, type, producer: 'p', seq });
  ledger.answered.push({ kind: 'answered', at: at + 5, nonce, status: 202, eventId });
  dump.events.push({ id: eventId, ownerId, body });
  return { eventId, body, at };
}

function deliver(
  history: History,
  webhookId: string,
  messageId: string,
  body: string,
  at: number,
): void {
  const deliveryId = addDelivery(history, webhookId, messageId, at + 5);
  receive(history, { webhookId, messageId, deliveryId, batchSize: null, body }, at, 200);
  record(history, deliveryId, 200);
}

/** A delivery that has succeeded. */
function addDelivery(
  { dump }: History,
  webhookId: string,
  eventId: string,
  completedAt: number,
): string {
  const id = `dlv_${eventId}_${webhookId}`;
  dump.deliveries.push({ id, eventId, webhookId, status: 'success', completedAt });
  return id;
}

type Message = Pick<Received, 'webhookId' | 'messageId' | 'deliveryId' | 'batchSize' | 'body'>;

function receive({ ledger }: History, message: Message, at: number, status: number): void {
  const timestamp = String(Math.floor(at / 1000));
  const { messageId, webhookId, body } = message;
  const receipt = `${messageId}-${webhookId}-${at}`;
  const signature = signatureOf(`${messageId}.${timestamp}.${body}`);
  ledger.received.push({ ...message, kind: 'received', at, receipt, timestamp, signature });
  ledger.replied.push({ kind: 'replied', at: at + 3, receipt, status });
}

function record({ dump }: History, deliveryId: string, statusCode: number): void {
  dump.attempts.push({
    deliveryId,
    statusCode,
    error: statusCode === 200 ? null : 'http',
    resent: false,
  });
}

const signatureOf = (signed: string): string =>
  `v1,${createHmac('sha256', Buffer.from(SECRET.replace('whsec_', ''), 'base64'))
    .update(signed)
    .digest('base64')}`;

/** Three events for bob in one batch, which is refused the first time. */
function deliverTogether(history: History, first: number): void {
  const events = history.dump.events.slice(first).filter(({ ownerId }) => ownerId !== 'ada');
  const together = events.slice(0, TOGETHER);
  const body = `[${together.map((event) => event.body).join()}]`;
  const messageId = `bat_${first}`;
  const message = { webhookId: 'wh_batch', messageId, deliveryId: '', body };
  const at = timeOf(first + TOGETHER) + 2_000;
  const deliveryIds = together.map(({ id }) => addDelivery(history, 'wh_batch', id, at + 300));
  for (const [late, status] of [500, 200].entries()) {
    receive(history, { ...message, batchSize: together.length }, at + late * 250, status);
    for (const deliveryId of deliveryIds) record(history, deliveryId, status);
  }
}

/** The first copy failed, and the history has the failure. */
function failOnce(history: History, webhookId: string, eventId: string): void {
  const { received } = firstCopy(history, webhookId, eventId);
  const reply = history.ledger.replied.find(({ receipt }) => receipt === received.receipt)!;
  reply.status = 500;
  const attempt = history.dump.attempts.find(
    ({ deliveryId }) => deliveryId === received.deliveryId,
  )!;
  attempt.statusCode = 500;
  receive(history, received, received.at + 30, 200);
  record(history, received.deliveryId, 200);
}

/** The receiver read the request, and closed a kept connection: it was sent once more. */
function closeKept(history: History, webhookId: string, eventId: string): void {
  const { received } = firstCopy(history, webhookId, eventId);
  const { deliveryId, receipt, at } = received;
  history.ledger.replied.find((reply) => reply.receipt === receipt)!.status = 0;
  receive(history, received, at + 10, 200);
  history.dump.attempts.find((attempt) => attempt.deliveryId === deliveryId)!.resent = true;
}

/** A worker died after the answer: there is one more copy, and the first attempt was not recorded. */
function crashAfter(history: History, webhookId: string, eventId: string): void {
  const { received } = firstCopy(history, webhookId, eventId);
  const { at } = received;
  history.ledger.disturbed.push({
    kind: 'disturbed',
    from: at + 5,
    until: at + 5,
    what: 'kill -9',
  });
  receive(history, received, at + 40, 200);
}

/** It failed permanently: only its final state is visible. */
function giveUp(history: History, webhookId: string, eventId: string): void {
  const { received } = firstCopy(history, webhookId, eventId);
  history.ledger.replied.find(({ receipt }) => receipt === received.receipt)!.status = 500;
  const { deliveryId } = received;
  const isOwn = (row: { deliveryId: string }) => row.deliveryId === deliveryId;
  history.dump.attempts.find(isOwn)!.statusCode = 500;
  history.dump.deliveries.find(({ id }) => id === deliveryId)!.status = 'dead_letter';
}

/** Five attempts, the circuit opens, and the delivery is dead. */
function neverGetThrough(history: History, seq: number): void {
  const [webhookId, batchSize] = ['wh_broken', null];
  const { eventId: messageId, body, at } = accept(history, seq, 'broken.one', 'ada');
  const deliveryId = addDelivery(history, webhookId, messageId, at + 2_000);
  history.dump.deliveries.at(-1)!.status = 'dead_letter';
  for (let attempt = 0; attempt < 5; attempt++) {
    const message = { webhookId, messageId, deliveryId, batchSize, body };
    receive(history, message, at + 20 + attempt * 200, 500);
    record(history, deliveryId, 500);
  }
  history.ledger.shown.find((shown) => shown.webhookId === webhookId)!.circuit = 'open';
  history.dump.circuits.push({ webhookId, state: 'open', failures: 5, isProbing: false });
}

export function firstCopy(history: History, webhookId: string, messageId: string) {
  const received = history.ledger.received.find(
    (copy) => copy.webhookId === webhookId && copy.messageId === messageId,
  );
  if (!received) throw new Error(`${messageId} did not come to ${webhookId}`);
  return { received };
}

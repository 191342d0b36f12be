import { createHmac } from 'node:crypto';
import { emptyLedger, type History } from '../ledger/records.js';

const START = 1_790_000_000_000;
const SECRET = `whsec_${Buffer.alloc(32, 3).toString('base64')}`;

/** Who publishes, in turn; the operator's events are public. */
const OWNERS = ['ada', 'bob', null];

/**
 * A small run in which everything went well: three owners' webhooks, an ordered one among them,
 * events that each owner published in turn, one retry, one crash with its copy, one dead letter.
 */
export function soundHistory(): History {
  const history: History = {
    ledger: emptyLedger(),
    dump: { events: [], deliveries: [], attempts: [] },
  };
  const { ledger } = history;
  for (const [index, ownerId] of ['ada', 'bob', null].entries()) {
    ledger.registered.push({
      kind: 'registered',
      at: START,
      webhookId: `wh_${ownerId ?? 'operator'}`,
      ownerId,
      events: ['run.*'],
      ordering: index === 0 ? 'fifo' : 'none',
      secret: SECRET,
      timeoutMs: 1_000,
      isHealthy: true,
    });
  }
  for (let seq = 0; seq < 12; seq++) publish(history, seq);
  failOnce(history, 'wh_bob', 'evt_1');
  crashAfter(history, 'wh_bob', 'evt_4');
  giveUp(history, 'wh_operator', 'evt_6');
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

function publish({ ledger, dump }: History, seq: number): void {
  const ownerId = OWNERS[seq % OWNERS.length]!;
  const at = START + 100 + seq * 10_000;
  const nonce = `nonce-${seq}`;
  const eventId = `evt_${seq}`;
  const body = JSON.stringify({ id: eventId, type: 'run.one', data: { nonce } });
  ledger.asked.push({ kind: 'asked', at, nonce, ownerId, type: 'run.one', producer: 'p', seq });
  ledger.answered.push({ kind: 'answered', at: at + 5, nonce, status: 202, eventId });
  dump.events.push({ id: eventId, ownerId, body });
  for (const webhook of ledger.registered) {
    if (ownerId !== null && webhook.ownerId !== null && ownerId !== webhook.ownerId) continue;
    deliver({ ledger, dump }, webhook.webhookId, eventId, body, at + 20);
  }
  ledger.heard.push({ kind: 'heard', at: at + 10, ownerId: ownerId ?? 'ada', eventId, body });
}

function deliver(
  { ledger, dump }: History,
  webhookId: string,
  eventId: string,
  body: string,
  at: number,
): void {
  const deliveryId = `dlv_${eventId}_${webhookId}`;
  dump.deliveries.push({ id: deliveryId, eventId, webhookId, status: 'success' });
  receive({ ledger, dump }, { webhookId, eventId, deliveryId, body }, at, 200);
}

function receive(
  { ledger, dump }: History,
  request: { webhookId: string; eventId: string; deliveryId: string; body: string },
  at: number,
  status: number,
): void {
  const timestamp = String(Math.floor(at / 1000));
  const key = Buffer.from(SECRET.replace('whsec_', ''), 'base64');
  const digest = createHmac('sha256', key)
    .update(`${request.eventId}.${timestamp}.${request.body}`)
    .digest('base64');
  const receipt = `${request.deliveryId}-${at}`;
  ledger.received.push({
    ...request,
    kind: 'received',
    at,
    receipt,
    timestamp,
    signature: `v1,${digest}`,
  });
  ledger.replied.push({ kind: 'replied', at: at + 3, receipt, status });
  const isAnswer = status > 0;
  dump.attempts.push({
    deliveryId: request.deliveryId,
    statusCode: isAnswer ? status : null,
    error: isAnswer ? null : 'http',
  });
}

/** The first copy failed, and the history says so. */
function failOnce(history: History, webhookId: string, eventId: string): void {
  const { received } = firstCopy(history, webhookId, eventId);
  const reply = history.ledger.replied.find(({ receipt }) => receipt === received.receipt)!;
  reply.status = 500;
  const attempt = history.dump.attempts.find(
    ({ deliveryId }) => deliveryId === received.deliveryId,
  )!;
  attempt.statusCode = 500;
  receive(history, received, received.at + 30, 200);
}

/** A worker died after the answer: one more copy, and the first is in no history. */
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
  history.dump.attempts.pop();
}

/** It failed for good: nothing but its final state is left to see. */
function giveUp(history: History, webhookId: string, eventId: string): void {
  const { received } = firstCopy(history, webhookId, eventId);
  history.ledger.replied.find(({ receipt }) => receipt === received.receipt)!.status = 500;
  const { deliveryId } = received;
  const isOwn = (row: { deliveryId: string }) => row.deliveryId === deliveryId;
  history.dump.attempts.find(isOwn)!.statusCode = 500;
  history.dump.deliveries.find(({ id }) => id === deliveryId)!.status = 'dead_letter';
}

export function firstCopy(history: History, webhookId: string, eventId: string) {
  const received = history.ledger.received.find(
    (copy) => copy.webhookId === webhookId && copy.eventId === eventId,
  );
  if (!received) throw new Error(`${eventId} did not come to ${webhookId}`);
  return { received };
}

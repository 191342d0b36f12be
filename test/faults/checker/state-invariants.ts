import { createHmac } from 'node:crypto';
import { disturbancesOf, resentAttempts } from './delivery-invariants.js';
import {
  deliveryIdOf,
  type Facts,
  isSuccess,
  expectedDeliveries,
  maySucceed,
  pair,
} from './facts.js';
import { recoveryOf } from './recovery.js';

/** How old a signature may be on arrival (Standard Webhooks). */
const TOLERANCE_S = 300;

/** I5: every request has a signature of a secret that was valid at that time. */
export function everySignatureVerifies(facts: Facts): string[] {
  const problems: string[] = [];
  for (const request of facts.ledger.received) {
    const { webhookId, messageId, timestamp, at } = request;
    const where = `${webhookId} got ${messageId}`;
    if (Math.abs(at / 1000 - Number(timestamp)) > TOLERANCE_S) {
      problems.push(`${where} with the timestamp ${timestamp}`);
    }
    const signed = `${messageId}.${timestamp}.${request.body}`;
    const good = keysAt(facts, webhookId, at).map(
      (secret) => `v1,${createHmac('sha256', secret).update(signed).digest('base64')}`,
    );
    if (!request.signature.split(' ').some((one) => good.includes(one))) {
      problems.push(`${where} with a signature that does not verify`);
    }
  }
  return problems;
}

/** A request may be in flight while a secret is rotated. */
const ON_ITS_WAY_MS = 5_000;

function keysAt({ webhooks, ledger }: Facts, webhookId: string, at: number): Buffer[] {
  const first = webhooks.get(webhookId);
  if (!first) return [];
  const rotations = ledger.rotated.filter((rotated) => rotated.webhookId === webhookId);
  const secrets = [first.secret, ...rotations.map(({ secret }) => secret)];
  return secrets
    .filter((_, index) => {
      const next = rotations[index];
      return next === undefined || at <= next.previousUntil + ON_ITS_WAY_MS;
    })
    .map((secret) => Buffer.from(secret.replace(/^whsec_/, ''), 'base64'));
}

/** I6: nothing of one owner reaches another, by webhook, by socket or through the API. */
export function nothingReachesAnotherOwner(facts: Facts): string[] {
  const problems: string[] = [];
  const ownerOfEvent = new Map<string, string | null>(
    facts.dump.events.map(({ id, ownerId }) => [id, ownerId]),
  );
  for (const [id, { asked }] of facts.accepted) {
    if (ownerOfEvent.has(id) && ownerOfEvent.get(id) !== asked.ownerId) {
      problems.push(`${id} of ${asked.ownerId} is stored as ${ownerOfEvent.get(id)}'s`);
    }
    ownerOfEvent.set(id, asked.ownerId);
  }
  const see = (who: string | null, eventId: string, how: string): void => {
    const owner = ownerOfEvent.get(eventId) ?? null;
    if (who !== null && owner !== null && who !== owner) {
      problems.push(`${how} of ${who} has ${eventId} of ${owner}`);
    }
  };
  for (const { received, eventId } of [...facts.copies.values()].flat()) {
    const { webhookId } = received;
    const webhook = facts.webhooks.get(webhookId);
    if (!webhook) problems.push(`a request arrived for ${webhookId}, which was not registered`);
    else see(webhook.ownerId, eventId, webhookId);
  }
  for (const { ownerId, eventId } of facts.ledger.pushed) see(ownerId, eventId, 'the socket');
  for (const { ownerId, what, ids } of facts.ledger.listed) {
    for (const id of ids) {
      if (what === 'events') see(ownerId, id, 'the list');
      else if (isOfAnother(facts, ownerId, what, id)) {
        problems.push(`the list of ${ownerId} has ${id}`);
      }
    }
  }
  return problems;
}

/** The lists also have items of earlier runs, which are not in this ledger. */
function isOfAnother(
  { dump, webhooks }: Facts,
  ownerId: string,
  what: 'webhooks' | 'deliveries',
  id: string,
): boolean {
  const delivery = dump.deliveries.find((found) => found.id === id);
  const webhook = webhooks.get(what === 'webhooks' ? id : (delivery?.webhookId ?? ''));
  return webhook !== undefined && webhook.ownerId !== ownerId;
}

/** Tolerances: open files by the connections that a webhook may keep, memory by share and amount. */
const FDS_PER_WEBHOOK = 10;
const FDS_SLACK = 20;
const RSS_TOLERANCE = 1.3;
const RSS_SLACK_BYTES = 64 << 20;
/** Below this many samples a trend is noise. */
const MIN_SAMPLES = 20;

/** I7: no process ends unexpectedly, prints an error, or grows. */
export function processesStayHealthy({ ledger }: Facts): string[] {
  const most = FDS_SLACK + ledger.registered.length * FDS_PER_WEBHOOK;
  const problems = ledger.complained.map(({ process, line }) => `${process} printed: ${line}`);
  for (const { process, how, expected } of ledger.ended) {
    if (how !== expected) problems.push(`${process} ended with ${how} instead of ${expected}`);
  }
  for (const name of new Set(ledger.sampled.map(({ process }) => process))) {
    const samples = ledger.sampled.filter(({ process }) => process === name);
    if (samples.length < MIN_SAMPLES) continue;
    const half = samples.slice(Math.floor(samples.length / 2));
    const [early, late] = [
      half.slice(0, Math.floor(half.length / 2)),
      half.slice(Math.floor(half.length / 2)),
    ];
    const [fds, fdsLater] = [median(early.map((s) => s.fds)), median(late.map((s) => s.fds))];
    if (fdsLater > fds + most) problems.push(`${name}: open files ${fds} -> ${fdsLater}`);
    const [rss, rssLater] = [
      median(early.map((s) => s.rssBytes)),
      median(late.map((s) => s.rssBytes)),
    ];
    if (rssLater > rss * RSS_TOLERANCE + RSS_SLACK_BYTES) {
      problems.push(`${name}: memory ${rss} -> ${rssLater} bytes`);
    }
  }
  return problems;
}

const median = (values: number[]): number =>
  values.sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

/** How long the recovery from a fault may take. */
export interface RecoveryBudget {
  firstSuccessMs: number;
  drainedMs: number;
}

/** I8: after the fault deliveries succeed again, and the backlog is delivered, within the budget. */
export function recoveryIsInTime(facts: Facts, budget: RecoveryBudget): string[] {
  const recovery = recoveryOf(facts);
  if (!recovery) return ['the fault was never over'];
  const { firstSuccessMs, drainedMs } = recovery;
  const problems: string[] = [];
  if (firstSuccessMs === undefined) problems.push('nothing succeeded after the fault');
  else if (firstSuccessMs > budget.firstSuccessMs) {
    problems.push(
      `the first success took ${firstSuccessMs} ms, allowed are ${budget.firstSuccessMs} ms`,
    );
  }
  if (drainedMs === undefined) problems.push('the backlog was never delivered');
  else if (drainedMs > budget.drainedMs) {
    problems.push(`the backlog took ${drainedMs} ms, allowed are ${budget.drainedMs} ms`);
  }
  return problems;
}

/**
 * I9: the history has every request that a receiver saw, no success without an answer, and no dead
 * letter without a failure: that workers crashed during its attempts is none.
 */
export function historyIsTrue(facts: Facts): string[] {
  const problems: string[] = [];
  for (const [key, copies] of facts.copies) {
    const deliveryId = deliveryIdOf(facts, key, copies);
    const attempts = facts.attempts.get(deliveryId)?.length ?? 0;
    const known = attempts + resentAttempts(facts, deliveryId);
    const forgotten = disturbancesOf(facts, copies);
    if (known + forgotten < copies.length) {
      problems.push(`${key}: ${copies.length} requests were seen, ${known} are in the history`);
    }
  }
  for (const { eventId, webhookId, id, status } of facts.dump.deliveries) {
    const copies = facts.copies.get(pair(eventId, webhookId)) ?? [];
    const recorded = (facts.attempts.get(id) ?? []).filter((a) => isSuccess(a.statusCode)).length;
    const seen = copies.filter((copy) => maySucceed(copy.status)).length;
    if (recorded > seen) problems.push(`${id}: ${recorded} successes recorded, ${seen} answered`);
    if (status === 'success' && seen === 0)
      problems.push(`${id} is a success that no receiver answered`);
    const failures = (facts.attempts.get(id) ?? []).filter(
      ({ statusCode, error }) => !isSuccess(statusCode) && error !== 'interrupted',
    );
    if (status === 'dead_letter' && failures.length === 0)
      problems.push(`${id} is a dead letter, and no attempt of it has failed`);
  }
  for (const { eventId, webhook } of expectedDeliveries(facts)) {
    const rows = facts.deliveries.get(pair(eventId, webhook.webhookId))?.length ?? 0;
    if (rows > 1) problems.push(`${eventId} at ${webhook.webhookId}: ${rows} deliveries`);
  }
  return problems;
}

import { Injectable } from '@nestjs/common';
import { texts } from '../../database/bulk.js';
import { keyIn } from '../../database/keyed-lookup.js';
import { PostgresClient, type PreparedStatement } from '../../database/postgres.client.js';
import {
  type ClaimedDelivery,
  type ClaimedDeliveryRow,
  toClaimedDelivery,
} from '../claims/claimed-delivery.js';
import { QUARANTINE_AFTER } from '../leases/lease.js';
import { releaseLeases } from '../leases/lease.statements.js';
import { HEADS_BY_PRIORITY, HEADS_IN_ORDER } from './head.statements.js';
import { IS_DEFERRED, IS_READY } from './selection.js';
import { parameterOf, PULLS, PULLS_UNDER_LEASE, type Selection } from './pull.statements.js';
import { webhooksWith } from './webhook-scan.js';
import type { RateState } from '../exclusive/rate-window.js';

/** A delivery that waits at the head of its webhook's line. */
export interface QueueHead {
  eventId: string;
  /** Until it may be sent; 0 or less: now. */
  readyInMs: number;
  /** Leases in a row that ended without an outcome. */
  lostLeases: number;
  /** The batch that it was sent in before. */
  batchId: string | null;
  /** Since it was written. */
  waitedMs: number;
  /** Of its envelope; null: not asked for, or retention has dropped it. */
  bytes: number | null;
}

/** An event that is not dispatched yet, and may be owed to the webhook before what is held. */
export interface UndispatchedEvent {
  eventId: string;
  ownerId: string | null;
  type: string;
  /** Whether the webhook is known to be owed it; else nobody has matched the event yet. */
  isPending: boolean;
}

/** What stands at the head of a webhook's line. */
export interface Heads {
  heads: QueueHead[];
  undispatched: UndispatchedEvent[];
}

/** Deliveries of a webhook that are leased. */
export interface DeliveriesOut {
  count: number;
  /** Until the first of their leases ends. */
  untilMs: number;
}

/** Which held deliveries to take, under which lease. */
export interface Pull {
  webhookId: string;
  token: string;
  leaseMs: number;
  limit: number;
  /** Those that workers have died with, which are tried alone; else all others. */
  quarantined?: boolean;
  selection: Selection;
  /** Only what was sent in no batch before. */
  isUnbatched?: boolean;
  /** The batch that they are sent in; absent: each alone. */
  batchId?: string;
}

/** The lane under which they are taken: nothing is, if somebody else has it. */
export interface PullLease {
  holder: string;
  /** What will have been sent when these are, should this process die now. */
  state: RateState;
}

const WEBHOOKS = {
  name: 'webhooks-with-held',
  text: `
    WITH ${webhooksWith(IS_DEFERRED)}
    SELECT webhook_id FROM line WHERE webhook_id IS NOT NULL`,
};

const OUT = {
  name: 'deliveries-out',
  text: `
    SELECT count(*)::int AS count,
           coalesce(min(extract(epoch FROM due_at - now())::float8 * 1000), 0) AS "untilMs"
      FROM deliveries WHERE webhook_id = $1 AND status = 'delivering'`,
};

/** What was to be tried at a time, before its webhook had a lane, stands in line now. */
const ADOPT = {
  name: 'adopt-timed-deliveries',
  text: `
    WITH timed AS MATERIALIZED (
      SELECT id FROM deliveries
       WHERE due_at IS NOT NULL AND status IN ('pending', 'retrying')
         AND webhook_id = ANY (${texts(1)})
         FOR UPDATE SKIP LOCKED)
    UPDATE deliveries SET due_at = NULL, not_before = due_at WHERE ${keyIn('id', 'timed')}`,
};

/** Where nothing else is out beside it; the sweeper takes one at a time. */
const EXPOSE_SUSPECTS = {
  name: 'schedule-quarantined',
  text: `
    UPDATE deliveries SET due_at = now()
     WHERE webhook_id = $1 AND ${IS_DEFERRED} AND lost_leases >= ${QUARANTINE_AFTER} AND ${IS_READY}`,
};

const PUT_BACK = {
  name: 'put-back-held',
  text: releaseLeases('NULL'),
};

/** Deliveries that wait for their webhook, not for a time; see DeliveryEntity. */
@Injectable()
export class DeferredDeliveriesStore {
  constructor(private readonly postgres: PostgresClient) {}

  /** All webhooks that something is held for. */
  async webhooks(): Promise<string[]> {
    const rows = await this.postgres.run<{ webhook_id: string }>(WEBHOOKS, []);
    return rows.map((row) => row.webhook_id);
  }

  /**
   * What is first in the line of a webhook by the order of the events: also what is not ready yet,
   * and what belongs before and is not in line yet.
   * @param hasBytes whether to look how large they are
   */
  async headsInOrder(webhookId: string, limit: number, hasBytes = false): Promise<Heads> {
    return this.heads(HEADS_IN_ORDER[hasBytes ? 'sized' : 'plain'], [webhookId, limit]);
  }

  /**
   * What of its line is to be sent next by priority, of what may be sent now: in front so many of the
   * oldest.
   * @param hasBytes whether to look how large they are
   */
  async headsByPriority(
    webhookId: string,
    limit: number,
    aged: number,
    hasBytes = false,
  ): Promise<QueueHead[]> {
    const statement = HEADS_BY_PRIORITY[hasBytes ? 'sized' : 'plain'];
    return (await this.heads(statement, [webhookId, limit, aged])).heads;
  }

  /** What anybody has out for a webhook, alive or dead. */
  async out(webhookId: string): Promise<DeliveriesOut> {
    const [row] = await this.postgres.run<DeliveriesOut & Record<string, unknown>>(OUT, [
      webhookId,
    ]);
    return row!;
  }

  /** Takes held deliveries. @returns them in the order of their events */
  async pull(what: Pull, lane?: PullLease): Promise<ClaimedDelivery[]> {
    const { token, leaseMs, webhookId, limit, quarantined, isUnbatched, batchId, selection } = what;
    const values = [
      token,
      leaseMs,
      webhookId,
      limit,
      quarantined ?? false,
      isUnbatched ?? false,
      batchId ?? null,
      parameterOf(selection),
    ];
    const rows = lane
      ? await this.postgres.run<ClaimedDeliveryRow>(PULLS_UNDER_LEASE[selection.kind], [
          ...values,
          lane.holder,
          JSON.stringify(lane.state),
        ])
      : await this.postgres.run<ClaimedDeliveryRow>(PULLS[selection.kind], values);
    return rows.map(toClaimedDelivery);
  }

  /** Puts what is due at a time into the lines of these webhooks. */
  async adopt(webhookIds: readonly string[]): Promise<void> {
    if (webhookIds.length > 0) await this.postgres.run(ADOPT, [webhookIds.join('\u001e')]);
  }

  /** Those that workers have died with fall due, so that they are tried alone. */
  async exposeSuspects(webhookId: string): Promise<void> {
    await this.postgres.run(EXPOSE_SUSPECTS, [webhookId]);
  }

  /** Gives back what was pulled and not attempted. */
  async putBack(held: readonly { id: string; token: string }[]): Promise<void> {
    if (held.length === 0) return;
    const ids = held.map(({ id }) => id).join('\u001e');
    await this.postgres.run(PUT_BACK, [ids, held.map(({ token }) => token).join('\u001e')]);
  }

  private async heads(statement: PreparedStatement, values: unknown[]): Promise<Heads> {
    const [row] = await this.postgres.run<Heads & Record<string, unknown>>(statement, values);
    return row!;
  }
}

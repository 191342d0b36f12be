import { Injectable } from '@nestjs/common';
import { textList, texts } from '../../database/bulk.js';
import { keyIn } from '../../database/keyed-lookup.js';
import { PostgresClient, type PreparedStatement } from '../../database/postgres.client.js';
import {
  type ClaimedDelivery,
  type ClaimedDeliveryRow,
  toClaimedDelivery,
} from '../claims/claimed-delivery.js';
import type { BatchHead } from '../exclusive/batching.js';
import type { OrderedHead } from '../exclusive/in-order.js';
import { LEASED_DELIVERIES, releaseLeases } from '../leases/lease.statements.js';
import type { RateState } from '../exclusive/rate-window.js';
import {
  HEADS_BY_PRIORITY,
  HEADS_IN_ORDER,
  IS_DEFERRED,
  parameterOf,
  PULLS,
  PULLS_UNDER_LEASE,
  webhooksWith,
} from './deferred.statements.js';
import type { Selection } from './selection.js';

/** A delivery at the head of its webhook's backlog. `bytes` is null also if it was not asked for. */
export type BacklogHead = OrderedHead & BatchHead;

/** An event that has no delivery for the webhook yet, and may get one. */
export interface UndispatchedEvent {
  eventId: string;
  ownerId: string | null;
  type: string;
  /** Whether the event is known to be for the webhook; else it was not matched with webhooks yet. */
  isMatched: boolean;
}

export interface BacklogHeads {
  heads: BacklogHead[];
  /** Those before the last of the heads, in their order; {@link MAX_UNDISPATCHED} at most. */
  undispatched: UndispatchedEvent[];
}

/** Deliveries of a webhook that any worker has leased. */
export interface LeasedDeliveries {
  count: number;
  /** Until the first of their leases ends. */
  untilMs: number;
}

/** Which deferred deliveries to claim, under which lease. */
export interface Pull {
  webhookId: string;
  token: string;
  leaseMs: number;
  limit: number;
  selection: Selection;
  /** Only those that were in no batch before. */
  isUnbatched?: boolean;
  /** The batch that they are sent in; absent: each alone. */
  batchId?: string;
}

/** The webhook lease of an exclusive webhook: nothing is claimed if another process owns it. */
export interface PullLease {
  holder: string;
  /** What the next owner has to assume as sent, should this process crash now. */
  state: RateState;
}

const WEBHOOKS_WITH_BACKLOG = {
  name: 'webhooks-with-backlog',
  text: `
    WITH ${webhooksWith(IS_DEFERRED)}
    SELECT webhook_id FROM found WHERE webhook_id IS NOT NULL`,
};

const LEASED = {
  name: 'leased-deliveries',
  text: `
    SELECT count(*)::int AS count,
           coalesce(min(extract(epoch FROM due_at - now())::float8 * 1000), 0) AS "untilMs"
      FROM deliveries WHERE webhook_id = $1 AND status = 'delivering'`,
};

const CONVERT_SCHEDULED = {
  name: 'convert-scheduled-deliveries',
  text: `
    WITH scheduled AS MATERIALIZED (
      SELECT id FROM deliveries
       WHERE due_at IS NOT NULL AND status IN ('pending', 'retrying')
         AND webhook_id = ANY (${texts(1)})
         FOR UPDATE SKIP LOCKED)
    UPDATE deliveries SET due_at = NULL, not_before = due_at WHERE ${keyIn('id', 'scheduled')}`,
};

const RELEASE = {
  name: 'release-deferred-deliveries',
  text: releaseLeases('NULL'),
};

/** Deliveries that wait for their webhook, not for a time; see DeliveryEntity. */
@Injectable()
export class DeferredDeliveriesStore {
  constructor(private readonly postgres: PostgresClient) {}

  async webhooksWithBacklog(): Promise<string[]> {
    const rows = await this.postgres.run<{ webhook_id: string }>(WEBHOOKS_WITH_BACKLOG, []);
    return rows.map((row) => row.webhook_id);
  }

  /**
   * The heads of a backlog by the order of the events, also those that may not be sent yet, and the
   * events before them that have no delivery yet.
   * @param isSized whether to read how large the events are
   */
  async headsInOrder(webhookId: string, limit: number, isSized = false): Promise<BacklogHeads> {
    return this.heads(HEADS_IN_ORDER[isSized ? 'sized' : 'plain'], [webhookId, limit]);
  }

  /**
   * The heads of a backlog by priority, of those that may be sent now: so many of the oldest first.
   * @param isSized whether to read how large the events are
   */
  async headsByPriority(
    webhookId: string,
    limit: number,
    aged: number,
    isSized = false,
  ): Promise<BacklogHead[]> {
    const statement = HEADS_BY_PRIORITY[isSized ? 'sized' : 'plain'];
    return (await this.heads(statement, [webhookId, limit, aged])).heads;
  }

  /** The deliveries of a webhook that any worker has leased, alive or not. */
  async leased(webhookId: string): Promise<LeasedDeliveries> {
    const [row] = await this.postgres.run<LeasedDeliveries & Record<string, unknown>>(LEASED, [
      webhookId,
    ]);
    return row!;
  }

  /** Claims deferred deliveries. @returns them in the order of their events */
  async pull(what: Pull, webhookLease?: PullLease): Promise<ClaimedDelivery[]> {
    const { selection } = what;
    const values = [
      what.token,
      what.leaseMs,
      what.webhookId,
      what.limit,
      what.isUnbatched ?? false,
      what.batchId ?? null,
      parameterOf(selection),
    ];
    const rows = webhookLease
      ? await this.postgres.run<ClaimedDeliveryRow>(PULLS_UNDER_LEASE[selection.kind], [
          ...values,
          webhookLease.holder,
          JSON.stringify(webhookLease.state),
        ])
      : await this.postgres.run<ClaimedDeliveryRow>(PULLS[selection.kind], values);
    return rows.map(toClaimedDelivery);
  }

  /** Scheduled deliveries of these webhooks, which are exclusive now, become deferred. */
  async convertScheduled(webhookIds: readonly string[]): Promise<void> {
    if (webhookIds.length === 0) return;
    await this.postgres.run(CONVERT_SCHEDULED, [textList(webhookIds)]);
  }

  /** What was pulled and not attempted is deferred again, if it is still leased under its token. */
  async release(leased: readonly { id: string; token: string }[]): Promise<void> {
    if (leased.length === 0) return;
    await this.postgres.run(RELEASE, LEASED_DELIVERIES.values(leased));
  }

  private async heads(statement: PreparedStatement, values: unknown[]): Promise<BacklogHeads> {
    const [row] = await this.postgres.run<BacklogHeads & Record<string, unknown>>(
      statement,
      values,
    );
    return row!;
  }
}

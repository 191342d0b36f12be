import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { Attribution } from '../../shared/attribution.js';
import type { DeliveryStatus } from '../../shared/delivery-status.js';

/**
 * One event that is to be sent to one webhook. The row is written with the outcome of the first
 * attempt, or with the event if the webhook is exclusive. The id is a function of event and webhook,
 * so writing the same delivery twice is a conflict on the key.
 *
 * Pending or retrying without `dueAt`, it is deferred: claimed for its webhook and not by time.
 */
@Entity('deliveries')
@Index('deliveries_by_webhook', ['webhookId', 'id'])
// The claim of due deliveries.
@Index('deliveries_due', ['dueAt'], { where: 'due_at IS NOT NULL' })
// Scheduled deliveries by webhook: they are canceled when the webhook is deleted.
@Index('deliveries_scheduled', ['webhookId'], {
  where: "due_at IS NOT NULL AND status IN ('pending', 'retrying')",
})
// Deferred deliveries of a webhook: by priority, or in the order of the events.
@Index('deliveries_deferred', ['webhookId', 'priority', 'eventId'], {
  where: "due_at IS NULL AND status IN ('pending', 'retrying')",
})
// Waiting when the time to live of their event ends.
@Index('deliveries_expiring', ['expiresAt'], {
  where: "expires_at IS NOT NULL AND status IN ('pending', 'retrying')",
})
@Index('deliveries_leased', ['webhookId'], { where: "status = 'delivering'" })
@Index('deliveries_dead', ['id'], { where: "status = 'dead_letter'" })
export class DeliveryEntity {
  @PrimaryColumn({ type: 'text', collation: 'C' })
  id: string;

  @Column({ name: 'event_id', type: 'text', collation: 'C' })
  eventId: string;

  @Column({ name: 'webhook_id', type: 'text', collation: 'C' })
  webhookId: string;

  @Column({ name: 'event_type', type: 'text' })
  eventType: string;

  @Column({ type: 'text' })
  status: DeliveryStatus;

  /** Of its event: 0 high, 1 normal, 2 low. */
  @Column({ type: 'smallint', default: 1 })
  priority: number;

  /** Attempts made so far, over all redrives. */
  @Column({ type: 'integer' })
  attempts: number;

  /** Attempts that do not count for the present budget: of earlier ones, interrupted, throttled. */
  @Column({ name: 'budget_start', type: 'integer', default: 0 })
  budgetStart: number;

  /**
   * When it can be claimed: for the next attempt, or after the end of the lease. Null in final
   * states, and while it is deferred.
   */
  @Column({ name: 'due_at', type: 'timestamptz', nullable: true })
  dueAt: Date | null;

  /** Fencing token of the worker that has the lease; every outcome must name it. */
  @Column({ name: 'lease_token', type: 'text', nullable: true })
  leaseToken: string | null;

  /** A deferred delivery is not sent before this time; null: as soon as its webhook can take it. */
  @Column({ name: 'not_before', type: 'timestamptz', nullable: true })
  notBefore: Date | null;

  /** When the time to live of its event ends; null: never. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt: Date | null;

  /** When the latest attempt was started, by the worker's clock. Earlier attempts have rows of their own. */
  @Column({ name: 'last_attempt_at', type: 'timestamptz', nullable: true })
  lastAttemptAt: Date | null;

  @Column({ name: 'last_duration_ms', type: 'integer', nullable: true })
  lastDurationMs: number | null;

  /** Its error class; `lastError` can say more, e.g. `gone` after an answer of 410. */
  @Column({ name: 'last_attempt_error', type: 'text', nullable: true })
  lastAttemptError: string | null;

  /** What failed in it, in words; null: nothing, or only its status says so. */
  @Column({ name: 'last_attempt_message', type: 'text', nullable: true })
  lastAttemptMessage: string | null;

  @Column({ name: 'last_response_body', type: 'text', nullable: true })
  lastResponseBody: string | null;

  /** Whether the request of the latest attempt was sent twice; null: it was not. */
  @Column({ name: 'last_attempt_resent', type: 'boolean', nullable: true })
  lastAttemptResent: boolean | null;

  /** Leases in a row that were lost with its attempt: it may have crashed its workers. */
  @Column({ name: 'lost_leases', type: 'smallint', default: 0 })
  lostLeases: number;

  /** The batch that it was first sent in, and is sent in again; null: it is sent alone. */
  @Column({ name: 'batch_id', type: 'text', nullable: true })
  batchId: string | null;

  /** Attempts that it had before this batch; null: it was in none. */
  @Column({ name: 'batch_start', type: 'smallint', nullable: true })
  batchStart: number | null;

  @Column({ name: 'last_status_code', type: 'smallint', nullable: true })
  lastStatusCode: number | null;

  /** Error class of the last attempt, or why the delivery ended. */
  @Column({ name: 'last_error', type: 'text', nullable: true })
  lastError: string | null;

  /** Who had it sent again, the last time; null: it is sent because of its event. */
  @Column({ name: 'requested_by', type: 'jsonb', nullable: true })
  requestedBy: Attribution | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt: Date;

  @Column({ name: 'completed_at', type: 'timestamptz', nullable: true })
  completedAt: Date | null;
}

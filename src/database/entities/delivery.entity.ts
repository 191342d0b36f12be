import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { DeliveryStatus } from '../../common/delivery-status.js';

/**
 * One event owed to one webhook. The row appears with the outcome of its first attempt; its id is a
 * function of event and webhook, so writing the same delivery twice is a conflict on the key.
 */
@Entity('deliveries')
@Index('deliveries_by_webhook', ['webhookId', 'id'])
// The claim of due deliveries: only rows that the engine still has to look at are in it.
@Index('deliveries_due', ['dueAt'], { where: 'due_at IS NOT NULL' })
// What waits for its webhook to be switched on again; empty nearly always.
@Index('deliveries_held', ['webhookId'], {
  where: "due_at IS NULL AND status IN ('pending', 'retrying')",
})
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

  /** Attempts made so far, over all redrives. */
  @Column({ type: 'integer' })
  attempts: number;

  /** Attempts that earlier budgets had used when the last redrive gave a new one. */
  @Column({ name: 'budget_start', type: 'integer', default: 0 })
  budgetStart: number;

  /**
   * When the engine must look again: the next attempt, or the end of the lease. Null in final
   * states, and while the webhook is switched off.
   */
  @Column({ name: 'due_at', type: 'timestamptz', nullable: true })
  dueAt: Date | null;

  /** Fencing token of the worker that owns it; every outcome must name it. */
  @Column({ name: 'lease_token', type: 'text', nullable: true })
  leaseToken: string | null;

  @Column({ name: 'last_status_code', type: 'smallint', nullable: true })
  lastStatusCode: number | null;

  /** Error class of the last attempt, or why the delivery ended. */
  @Column({ name: 'last_error', type: 'text', nullable: true })
  lastError: string | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt: Date;

  @Column({ name: 'completed_at', type: 'timestamptz', nullable: true })
  completedAt: Date | null;
}

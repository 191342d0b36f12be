import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/**
 * What is still owed for an event: one small row, written with the event and deleted with the last
 * first outcome of its deliveries. Until then the delivery rows of webhooks that were not reached
 * yet do not exist; "pending" is this row. Keeping it apart leaves the log itself append-only.
 */
@Entity('event_outbox')
@Index('event_outbox_due', ['dueAt'])
export class EventOutboxEntity {
  @PrimaryColumn({ name: 'event_id', type: 'text', collation: 'C' })
  eventId: string;

  /** The webhooks that matched at the commit; null: to be matched when it is dispatched. */
  @Column({ name: 'webhook_ids', type: 'text', array: true, nullable: true })
  webhookIds: string[] | null;

  /** When a sweeper may take it: at once, or when the lease of its present owner ends. */
  @Column({ name: 'due_at', type: 'timestamptz' })
  dueAt: Date;

  /** Fencing token of the present owner; null: nobody has taken it. */
  @Column({ name: 'lease_token', type: 'text', nullable: true })
  leaseToken: string | null;

  /** Leases that ended without all outcomes: a worker may have died of one of its deliveries. */
  @Column({ name: 'lost_leases', type: 'smallint', default: 0 })
  lostLeases: number;

  /** When the time to live of the event ends, for the rows of its deliveries; null: never. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt: Date | null;
}

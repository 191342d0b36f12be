import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** Which worker process serves a webhook that one process at a time must serve. */
@Entity('webhook_leases')
// A process renews all of its lanes in one statement.
@Index('webhook_leases_by_holder', ['holder'])
export class WebhookLaneEntity {
  @PrimaryColumn({ name: 'webhook_id', type: 'text', collation: 'C' })
  webhookId: string;

  /** The process; null: it was given back. */
  @Column({ type: 'text', nullable: true })
  holder: string | null;

  /** End of the lease, on the database's clock. */
  @Column({ type: 'timestamptz' })
  until: Date;

  /** What was sent lately, for the rate limit. */
  @Column({ type: 'jsonb', nullable: true })
  state: { agesMs: number[]; reserved: number } | null;

  /** When the state was written: its ages count from then. */
  @Column({ name: 'state_at', type: 'timestamptz', nullable: true })
  stateAt: Date | null;
}

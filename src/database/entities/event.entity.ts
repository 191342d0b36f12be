import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** The event log: rows are written once and never changed. */
@Entity('events')
@Index('events_by_owner', ['ownerId', 'id'])
@Index('events_by_tx', ['tx', 'id'])
export class EventEntity {
  @PrimaryColumn({ type: 'text', collation: 'C' })
  id: string;

  /** Null: a public event, which everybody may hear. */
  @Column({ name: 'owner_id', type: 'text', nullable: true })
  ownerId: string | null;

  @Column({ type: 'text' })
  type: string;

  @Column({ type: 'text', nullable: true })
  subject: string | null;

  /**
   * The envelope as JSON text, made once: these bytes are signed, sent and pushed as they stand.
   * Not `jsonb`, which would reorder keys and rewrite numbers.
   */
  @Column({ type: 'text' })
  body: string;

  @Column({ type: 'smallint' })
  priority: number;

  /** Deliveries that have not succeeded by then end; null: they have as long as their policy. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt: Date | null;

  /**
   * The transaction that it was written in, and the snapshot that this one saw. An event that is not
   * in another's snapshot was committed after it, whatever the order of their ids. Null: from before
   * this was recorded.
   */
  @Column({ type: 'bigint', nullable: true })
  tx: string | null;

  @Column({ name: 'tx_snapshot', type: 'text', nullable: true })
  txSnapshot: string | null;

  /**
   * The process that wrote it and told sockets of it, one transaction after the other; null: it was
   * written in a caller's own transaction, and told by whoever found it there.
   */
  @Column({ name: 'published_by', type: 'integer', nullable: true })
  publishedBy: number | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt: Date;
}

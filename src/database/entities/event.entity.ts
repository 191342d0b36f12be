import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** The event log: rows never change. */
@Entity('events')
@Index('events_by_owner', ['ownerId', 'id'])
@Index('events_by_tx', ['tx', 'id'])
export class EventEntity {
  @PrimaryColumn({ type: 'text', collation: 'C' })
  id: string;

  /** Null: a public event. */
  @Column({ name: 'owner_id', type: 'text', nullable: true })
  ownerId: string | null;

  @Column({ type: 'text' })
  type: string;

  @Column({ type: 'text', nullable: true })
  subject: string | null;

  /**
   * The envelope as JSON text, made once: these bytes are signed and sent unchanged.
   * Not `jsonb`, which would reorder keys and rewrite numbers.
   */
  @Column({ type: 'text' })
  body: string;

  @Column({ type: 'smallint' })
  priority: number;

  /** When its time to live ends; null: no limit beside the retry policy. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt: Date | null;

  /**
   * The transaction that wrote it, and the snapshot of that transaction. An event outside of another
   * event's snapshot was committed after it, whatever the order of their ids. Null: written before
   * this was recorded.
   */
  @Column({ type: 'bigint', nullable: true })
  tx: string | null;

  @Column({ name: 'tx_snapshot', type: 'text', nullable: true })
  txSnapshot: string | null;

  /**
   * The node that wrote it and sent it to connections, in the order of its transactions; null: a
   * caller's own transaction wrote it, and the node that found it sent it.
   */
  @Column({ name: 'published_by', type: 'integer', nullable: true })
  publishedBy: number | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt: Date;
}

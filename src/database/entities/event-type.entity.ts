import { Column, Entity, PrimaryColumn } from 'typeorm';

/** An event type of the catalogue. Other types can be published, too. */
@Entity('event_types')
export class EventTypeEntity {
  @PrimaryColumn({ type: 'text', collation: 'C' })
  name: string;

  @Column({ type: 'text', nullable: true })
  description: string | null;

  /** JSON Schema of `data` as text: `jsonb` would change the order of its members. */
  @Column({ type: 'text', nullable: true })
  schema: string | null;

  /** Of events that are published without one. */
  @Column({ type: 'text', default: 'normal' })
  priority: 'high' | 'normal' | 'low';

  /** Where its events are sent. */
  @Column({ type: 'text', array: true })
  transports: ('webhook' | 'socket')[];

  /** False: its events are not in the log, and are sent to the present connections only. */
  @Column({ type: 'boolean', default: true })
  durable: boolean;

  /** Per subject, only the latest event in so many milliseconds is sent; null: all of them. */
  @Column({ name: 'coalesce_ms', type: 'integer', nullable: true })
  coalesceMs: number | null;

  /** A name that live clients subscribe to its events by; several types may share one. */
  @Column({ type: 'text', collation: 'C', nullable: true })
  channel: string | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt: Date;

  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'now()' })
  updatedAt: Date;

  /** Set by a trigger; changes with every change of the row. */
  @Column({ type: 'bigint', default: 0 })
  revision: string;
}

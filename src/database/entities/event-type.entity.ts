import { Column, Entity, PrimaryColumn } from 'typeorm';

/** What the operator has said about a type of events. Types that are not here are published, too. */
@Entity('event_types')
export class EventTypeEntity {
  @PrimaryColumn({ type: 'text', collation: 'C' })
  name: string;

  @Column({ type: 'text', nullable: true })
  description: string | null;

  /** JSON Schema of `data` as text: `jsonb` would change the order of its members. */
  @Column({ type: 'text', nullable: true })
  schema: string | null;

  /** Of events that name none themselves. */
  @Column({ type: 'text', default: 'normal' })
  priority: 'high' | 'normal' | 'low';

  /** What its events go to. */
  @Column({ type: 'text', array: true })
  transports: ('webhook' | 'socket')[];

  /** False: its events are not in the log, and go to the sockets that listen now. */
  @Column({ type: 'boolean', default: true })
  durable: boolean;

  /** Of one subject only the latest event of so many milliseconds is sent; null: all are. */
  @Column({ name: 'coalesce_ms', type: 'integer', nullable: true })
  coalesceMs: number | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt: Date;

  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'now()' })
  updatedAt: Date;

  /** Set by a trigger; different after every change. */
  @Column({ type: 'bigint', default: 0 })
  revision: string;
}

import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A lease: a process that holds connections, and lives for as long as it renews this. */
@Entity('realtime_nodes')
export class RealtimeNodeEntity {
  @PrimaryColumn({ type: 'text', collation: 'C' })
  id: string;

  /** On the database's clock. */
  @Column({ type: 'timestamptz' })
  until: Date;

  /** Another process has found it ended, and takes over its connections. It never comes back. */
  @Column({ name: 'is_lost', type: 'boolean' })
  isLost: boolean;
}

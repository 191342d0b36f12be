import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A live connection; the row goes when its end has been told. */
@Entity('realtime_connections')
// The list of an owner's connections.
@Index('realtime_connections_by_owner', ['ownerId', 'id'])
// What a process that has died leaves behind.
@Index('realtime_connections_by_node', ['nodeId'])
export class RealtimeConnectionEntity {
  /** `con_…` */
  @PrimaryColumn({ type: 'text', collation: 'C' })
  id: string;

  /** The process that it is connected to, or that tells its end. */
  @Column({ name: 'node_id', type: 'text', collation: 'C' })
  nodeId: string;

  @Column({ name: 'owner_id', type: 'text' })
  ownerId: string;

  @Column({ type: 'text' })
  transport: string;

  @Column({ name: 'connected_at', type: 'timestamptz' })
  connectedAt: Date;

  /** Whether there is an event about it, so that there has to be one about its end. */
  @Column({ name: 'is_announced', type: 'boolean' })
  isAnnounced: boolean;

  /** When its process was last seen; null: that lives. */
  @Column({ name: 'ended_at', type: 'timestamptz', nullable: true })
  endedAt: Date | null;
}

import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A live connection; the row is deleted when its end was published. */
@Entity('realtime_connections')
// The list of an owner's connections.
@Index('realtime_connections_by_owner', ['ownerId', 'id'])
// The connections of a lost node.
@Index('realtime_connections_by_node', ['nodeId'])
export class RealtimeConnectionEntity {
  /** `con_…` */
  @PrimaryColumn({ type: 'text', collation: 'C' })
  id: string;

  /** The node that it is connected to, or that publishes its end. */
  @Column({ name: 'node_id', type: 'text', collation: 'C' })
  nodeId: string;

  @Column({ name: 'owner_id', type: 'text' })
  ownerId: string;

  @Column({ type: 'text' })
  transport: string;

  @Column({ name: 'connected_at', type: 'timestamptz' })
  connectedAt: Date;

  /** Whether `client-connected` was published, so that `client-disconnected` has to be. */
  @Column({ name: 'is_announced', type: 'boolean' })
  isAnnounced: boolean;

  /** When its lost node last renewed its entry; null: the node is alive. */
  @Column({ name: 'ended_at', type: 'timestamptz', nullable: true })
  endedAt: Date | null;
}

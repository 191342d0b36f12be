import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A worker process that is alive, and may hold lanes: what a fair share is depends on how many are. */
@Entity('lane_holders')
export class LaneHolderEntity {
  @PrimaryColumn({ type: 'text', collation: 'C' })
  id: string;

  /** It has died, or has been cut off, if this is past. */
  @Column({ type: 'timestamptz' })
  until: Date;
}

import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A publish request that was accepted under an `Idempotency-Key`, and what it was answered. */
@Entity('idempotency_keys')
@Index('idempotency_keys_by_age', ['createdAt'])
export class IdempotencyKeyEntity {
  /** The caller's owner id: the same key of two owners is two keys. */
  @PrimaryColumn({ name: 'owner_id', type: 'text' })
  ownerId: string;

  @PrimaryColumn({ type: 'text' })
  key: string;

  /** SHA-256 of the request's content; another content under the same key is a conflict. */
  @Column({ name: 'request_hash', type: 'text' })
  requestHash: string;

  @Column({ name: 'event_ids', type: 'text', array: true })
  eventIds: string[];

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt: Date;
}

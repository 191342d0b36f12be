import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A long-lived credential. The key itself is not here: it was shown once and only its hash is kept. */
@Entity('api_keys')
// Authentication looks a key up by nothing else.
@Index('api_keys_by_hash', ['hash'], { unique: true })
@Index('api_keys_by_owner', ['ownerId', 'id'])
export class ApiKeyEntity {
  @PrimaryColumn({ type: 'text', collation: 'C' })
  id: string;

  @Column({ name: 'owner_id', type: 'text' })
  ownerId: string;

  @Column({ type: 'text' })
  name: string;

  /** SHA-256 of the key, in hexadecimal. */
  @Column({ type: 'text' })
  hash: string;

  /** The first characters of the key, to tell keys apart in lists. */
  @Column({ type: 'text' })
  prefix: string;

  @Column({ type: 'text', array: true })
  roles: string[];

  /** Null: all of what its owner may hear. */
  @Column({ type: 'text', array: true, nullable: true })
  topics: string[] | null;

  /** Null: it is good until it is revoked. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt: Date | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt: Date;
}

import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/** A long-lived credential. The key itself was in one answer only; its hash is stored. */
@Entity('api_keys')
// The look-up of authentication.
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

  /** The first characters of the key, to distinguish keys in lists. */
  @Column({ type: 'text' })
  prefix: string;

  @Column({ type: 'text', array: true })
  roles: string[];

  /** Null: everything that its owner may receive. */
  @Column({ type: 'text', array: true, nullable: true })
  topics: string[] | null;

  /** Null: valid until it is revoked. */
  @Column({ name: 'expires_at', type: 'timestamptz', nullable: true })
  expiresAt: Date | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt: Date;
}

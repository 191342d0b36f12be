import {
  Column,
  Entity,
  Index,
  JoinColumn,
  ManyToOne,
  PrimaryColumn,
  type Relation,
} from 'typeorm';

/** A long-lived credential. The key itself was in one answer only; its hash is stored. */
@Entity('api_keys')
// The look-up of authentication.
@Index('api_keys_by_hash', ['hash'], { unique: true })
@Index('api_keys_by_owner', ['ownerId', 'id'])
// For the cascade of a revocation.
@Index('api_keys_by_parent', ['parentId'])
export class ApiKeyEntity {
  @PrimaryColumn({ type: 'text', collation: 'C' })
  id: string;

  @Column({ name: 'owner_id', type: 'text' })
  ownerId: string;

  /** The user of the owner that callers with the key are. */
  @Column({ name: 'user_id', type: 'text' })
  userId: string;

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

  /** The key that it was created with, and is deleted with; null: a token. */
  @Column({ name: 'parent_id', type: 'text', collation: 'C', nullable: true })
  parentId: string | null;

  /** Never loaded: it declares the foreign key. */
  @ManyToOne(() => ApiKeyEntity, { onDelete: 'CASCADE', nullable: true })
  @JoinColumn({ name: 'parent_id', foreignKeyConstraintName: 'api_keys_parent' })
  parent?: Relation<ApiKeyEntity>;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt: Date;
}

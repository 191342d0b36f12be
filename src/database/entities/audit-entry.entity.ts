import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { AuditAction, AuditResource } from '../../shared/audit.js';

/** A change that a caller, or the engine, has made. Rows never change; retention deletes them. */
@Entity('audit_log')
// The filters of the list; each ends with the order of its pages.
@Index('audit_log_by_owner', ['ownerId', 'id'])
@Index('audit_log_by_user', ['userId', 'id'])
@Index('audit_log_by_action', ['action', 'id'])
@Index('audit_log_by_resource_type', ['resourceType', 'id'])
@Index('audit_log_by_resource', ['resourceId', 'id'])
export class AuditEntryEntity {
  /** Holds its time. */
  @PrimaryColumn({ type: 'text', collation: 'C' })
  id: string;

  /** Owner of the thing that was changed; null: the operator. */
  @Column({ name: 'owner_id', type: 'text', nullable: true })
  ownerId: string | null;

  /** The owner that the caller acted for; null: the system made the change. */
  @Column({ name: 'actor_owner_id', type: 'text', nullable: true })
  actorOwnerId: string | null;

  @Column({ name: 'user_id', type: 'text', nullable: true })
  userId: string | null;

  /** The API key that was presented; null: a token was, or the system made the change. */
  @Column({ name: 'api_key_id', type: 'text', collation: 'C', nullable: true })
  apiKeyId: string | null;

  /** Of the caller at that time. */
  @Column({ type: 'text', array: true })
  roles: string[];

  @Column({ type: 'text' })
  action: AuditAction;

  @Column({ name: 'resource_type', type: 'text' })
  resourceType: AuditResource;

  /** Null: more than one thing. */
  @Column({ name: 'resource_id', type: 'text', collation: 'C', nullable: true })
  resourceId: string | null;

  /** JSON text of `Changes`. Not `jsonb`, which refuses some of the texts that JSON can hold. */
  @Column({ type: 'text' })
  changes: string;

  @Column({ type: 'text', nullable: true })
  address: string | null;

  @Column({ name: 'request_id', type: 'text', nullable: true })
  requestId: string | null;
}

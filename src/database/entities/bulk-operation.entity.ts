import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { Attribution } from '../../shared/attribution.js';
import type { DeliveryStatus } from '../../shared/delivery-status.js';

/** `redrive`: dead letters; `webhook_replay`: a range of time; `event_replay`: one event. */
export const BULK_OPERATION_KINDS = ['redrive', 'webhook_replay', 'event_replay'] as const;
export type BulkOperationKind = (typeof BULK_OPERATION_KINDS)[number];

export const BULK_OPERATION_STATUSES = ['running', 'completed', 'canceled'] as const;
export type BulkOperationStatus = (typeof BULK_OPERATION_STATUSES)[number];

/** A redrive or replay of many deliveries, and its progress. */
@Entity('bulk_operations')
// A request that is repeated with the same key is one operation.
@Index('bulk_operations_by_key', ['ownerId', 'idempotencyKey'], { unique: true })
@Index('bulk_operations_by_owner', ['ownerId', 'id'])
export class BulkOperationEntity {
  @PrimaryColumn({ type: 'text', collation: 'C' })
  id: string;

  @Column({ type: 'text' })
  kind: BulkOperationKind;

  /** The owner who requested it. */
  @Column({ name: 'owner_id', type: 'text' })
  ownerId: string;

  /** The user of that owner; null: before this was recorded. */
  @Column({ name: 'requested_by', type: 'jsonb', nullable: true })
  requestedBy: Attribution | null;

  @Column({ type: 'text' })
  status: BulkOperationStatus;

  /** Deliveries that matched at the time of the request. */
  @Column({ type: 'integer' })
  count: number;

  /** Of these, how many have been requeued. */
  @Column({ type: 'integer', default: 0 })
  done: number;

  /** Of these, how many had changed by then and were left as they are. */
  @Column({ type: 'integer', default: 0 })
  skipped: number;

  /** A delivery in another status is skipped. */
  @Column({ name: 'from_statuses', type: 'text', array: true })
  fromStatuses: DeliveryStatus[];

  /** Whether a webhook may be sent an event that it had no delivery of. */
  @Column({ name: 'may_create', type: 'boolean' })
  mayCreate: boolean;

  @Column({ name: 'idempotency_key', type: 'text', nullable: true })
  idempotencyKey: string | null;

  /** SHA-256 of the request; another content under the same key is a conflict. */
  @Column({ name: 'request_hash', type: 'text' })
  requestHash: string;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt: Date;

  /** When everything was requeued, or it was canceled. */
  @Column({ name: 'completed_at', type: 'timestamptz', nullable: true })
  completedAt: Date | null;
}

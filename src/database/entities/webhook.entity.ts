import { Column, Entity, Index, PrimaryColumn } from 'typeorm';
import type { Attribution } from '../../shared/attribution.js';
import type { RetryPolicy } from '../../shared/retry-policy.js';

/**
 * A registered URL with its secrets, patterns and delivery policy.
 *
 * Rows are never removed: a deleted webhook keeps `deletedAt`, because its deliveries still name it
 * and because other nodes learn of the deletion by reading rows with a newer `revision`.
 */
@Entity('webhooks')
@Index('webhooks_by_owner', ['ownerId', 'id'])
// The cache of every node reads the changes since the revision that it has.
@Index('webhooks_by_revision', ['revision'])
export class WebhookEntity {
  @PrimaryColumn({ type: 'text', collation: 'C' })
  id: string;

  /** Null: it belongs to the operator and receives the events of every owner. */
  @Column({ name: 'owner_id', type: 'text', nullable: true })
  ownerId: string | null;

  @Column({ type: 'text' })
  url: string;

  /** Patterns; an event that matches several of them is sent once. */
  @Column({ type: 'text', array: true })
  events: string[];

  @Column({ type: 'text', nullable: true })
  name: string | null;

  @Column({ type: 'text', nullable: true })
  description: string | null;

  /** Signing keys with their ends, sealed (AES-256-GCM, bound to the id of this row). */
  @Column({ name: 'sealed_secrets', type: 'text' })
  sealedSecrets: string;

  /** The caller's own request headers, sealed: they often hold credentials. */
  @Column({ name: 'sealed_headers', type: 'text', nullable: true })
  sealedHeaders: string | null;

  /** Client certificate, its private key, and authorities, sealed; null: none of them. */
  @Column({ name: 'sealed_tls', type: 'text', nullable: true })
  sealedTls: string | null;

  @Column({ type: 'boolean' })
  active: boolean;

  /** Why the engine disabled it (`gone`: the receiver answered 410); null: the owner did, or it is active. */
  @Column({ name: 'disabled_reason', type: 'text', nullable: true })
  disabledReason: string | null;

  /** When the engine disabled it; null while `disabledReason` is. */
  @Column({ name: 'disabled_at', type: 'timestamptz', nullable: true })
  disabledAt: Date | null;

  /** Null: DELIVERY_TIMEOUT_MS. */
  @Column({ name: 'timeout_ms', type: 'integer', nullable: true })
  timeoutMs: number | null;

  /** Null: DELIVERY_RETRY_SCHEDULE_MS. */
  @Column({ name: 'retry_policy', type: 'jsonb', nullable: true })
  retryPolicy: RetryPolicy | null;

  /** Most requests in any period of this length, over all nodes; null: no limit. */
  @Column({ name: 'rate_limit', type: 'jsonb', nullable: true })
  rateLimit: { max: number; perMs: number } | null;

  /** Most requests at once over all nodes; null: DELIVERY_MAX_PER_WEBHOOK, shared by the workers. */
  @Column({ name: 'max_concurrency', type: 'integer', nullable: true })
  maxConcurrency: number | null;

  /** `fifo`: one at a time, in the order of publishing; `none`: no order. */
  @Column({ type: 'text', default: 'none' })
  ordering: 'none' | 'fifo';

  /** Several events in one request; null: one event per request. */
  @Column({ type: 'jsonb', nullable: true })
  batch: { maxEvents: number; maxWaitMs: number } | null;

  /** Who registered it; null: before this was recorded. */
  @Column({ name: 'created_by', type: 'jsonb', nullable: true })
  createdBy: Attribution | null;

  @Column({ name: 'created_at', type: 'timestamptz', default: () => 'now()' })
  createdAt: Date;

  @Column({ name: 'updated_at', type: 'timestamptz', default: () => 'now()' })
  updatedAt: Date;

  @Column({ name: 'deleted_at', type: 'timestamptz', nullable: true })
  deletedAt: Date | null;

  /** Set by a trigger from `webhook_versions.version`; grows with every change of any webhook. */
  @Column({ type: 'bigint', default: 0 })
  revision: string;
}

import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * One HTTP request that was made for a delivery. The latest is in the row of the delivery instead.
 * Written with the next one, also when the lease had ended and the outcome changed nothing; or, as
 * `interrupted`, while it is in flight, so that the next worker knows of it if this one crashes.
 */
@Entity('delivery_attempts')
export class DeliveryAttemptEntity {
  @PrimaryColumn({ name: 'delivery_id', type: 'text', collation: 'C' })
  deliveryId: string;

  /** When the request was started, by the worker's clock. */
  @PrimaryColumn({ name: 'started_at', type: 'timestamptz' })
  startedAt: Date;

  /** Counted from 1 over all redrives. */
  @Column({ type: 'integer' })
  number: number;

  @Column({ name: 'duration_ms', type: 'integer' })
  durationMs: number;

  @Column({ name: 'status_code', type: 'smallint', nullable: true })
  statusCode: number | null;

  /** `dns`, `connect`, `tls`, `timeout`, `http`, `blocked`, `bad_response`, `interrupted`; null: success. */
  @Column({ type: 'text', nullable: true })
  error: string | null;

  /** What failed, in words; null: nothing, or only its status says so. */
  @Column({ name: 'error_message', type: 'text', nullable: true })
  errorMessage: string | null;

  /** What the receiver answered, at most 16 KB. */
  @Column({ name: 'response_body', type: 'text', nullable: true })
  responseBody: string | null;

  /** Whether the request was sent twice; null: it was not. */
  @Column({ type: 'boolean', nullable: true })
  resent: boolean | null;
}

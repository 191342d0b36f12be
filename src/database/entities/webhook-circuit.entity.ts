import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/**
 * The circuit breaker of a webhook, shared by all processes. The row appears with the first failure;
 * it is written only where the state changes, so a webhook that works costs nothing.
 */
@Entity('webhook_circuits')
// Every process follows what changed since the revision that it knows.
@Index('webhook_circuits_by_revision', ['revision'])
export class WebhookCircuitEntity {
  @PrimaryColumn({ name: 'webhook_id', type: 'text', collation: 'C' })
  webhookId: string;

  @Column({ type: 'text' })
  state: 'closed' | 'open' | 'half_open';

  /** When the present state began; null: it has been closed from the beginning. */
  @Column({ type: 'timestamptz', nullable: true })
  since: Date | null;

  /** Counts openings and closings: a request belongs to the one that it was started in. */
  @Column({ type: 'integer' })
  epoch: number;

  /** In a row, over all processes. */
  @Column({ type: 'integer' })
  failures: number;

  /** When the first of them came; null: the last result was a success. */
  @Column({ name: 'failing_since', type: 'timestamptz', nullable: true })
  failingSince: Date | null;

  @Column({ name: 'last_failure_at', type: 'timestamptz', nullable: true })
  lastFailureAt: Date | null;

  @Column({ name: 'last_error', type: 'text', nullable: true })
  lastError: string | null;

  /** Half-open: the token of whoever may send the probe, until its lease ends. */
  @Column({ name: 'probe_token', type: 'text', nullable: true })
  probeToken: string | null;

  @Column({ name: 'probe_lease_ms', type: 'integer', nullable: true })
  probeLeaseMs: number | null;

  /** Not closed: the delivery that a person wants sent, and that is to be the probe. */
  @Column({ name: 'requested_probe', type: 'text', nullable: true })
  requestedProbe: string | null;

  /** Whether one of the failures was of an event that is not about the system itself. */
  @Column({ name: 'counts_for_alert', type: 'boolean' })
  countsForAlert: boolean;

  /** Whether the opening was told, so that the closing will be. */
  @Column({ name: 'opening_notified', type: 'boolean' })
  openingNotified: boolean;

  /** A writer changes the row only if it is still the one that it has read. */
  @Column({ type: 'bigint' })
  version: string;

  /** The transaction of the last change. */
  @Column({ type: 'bigint' })
  revision: string;
}

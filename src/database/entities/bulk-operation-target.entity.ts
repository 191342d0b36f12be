import { Column, Entity, Index, PrimaryColumn } from 'typeorm';

/**
 * What a bulk operation still has to do for one webhook. Whoever works on it holds the lock of this
 * row for one transaction, so that nothing is left to clean up after a crash.
 */
@Entity('bulk_operation_targets')
@Index('bulk_operation_targets_due', ['dueAt'])
export class BulkOperationTargetEntity {
  @PrimaryColumn({ name: 'operation_id', type: 'text', collation: 'C' })
  operationId: string;

  @PrimaryColumn({ name: 'webhook_id', type: 'text', collation: 'C' })
  webhookId: string;

  /** Deliveries that it has made owed again and that had not come to an end at the last look. */
  @Column({ name: 'open_ids', type: 'text', array: true, default: '{}' })
  openIds: string[];

  /** The wait before this look; it grows while nothing moves. */
  @Column({ name: 'wait_ms', type: 'integer', default: 0 })
  waitMs: number;

  /** When to look again. */
  @Column({ name: 'due_at', type: 'timestamptz', default: () => 'now()' })
  dueAt: Date;
}

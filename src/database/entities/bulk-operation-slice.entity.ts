import { Column, Entity, PrimaryColumn } from 'typeorm';

/** A part of the set that a bulk operation is about. It goes when its deliveries are owed again. */
@Entity('bulk_operation_slices')
export class BulkOperationSliceEntity {
  @PrimaryColumn({ name: 'operation_id', type: 'text', collation: 'C' })
  operationId: string;

  @PrimaryColumn({ name: 'webhook_id', type: 'text', collation: 'C' })
  webhookId: string;

  /** From 0, oldest events first. */
  @PrimaryColumn({ type: 'integer' })
  number: number;

  @Column({ name: 'event_ids', type: 'text', array: true })
  eventIds: string[];
}

import { Column, Entity, PrimaryColumn } from 'typeorm';

/**
 * One row: the version of the whole set of webhooks, advanced by a trigger in the transaction of
 * each change. Publishing compares it with the version that it matched against, inside its own
 * statement, so that an event is fanned out to exactly the webhooks that existed at its commit.
 */
@Entity('webhook_versions')
export class WebhookRegistryEntity {
  @PrimaryColumn({ type: 'smallint' })
  id: number;

  @Column({ type: 'bigint' })
  version: string;
}

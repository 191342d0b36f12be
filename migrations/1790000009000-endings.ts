import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What ends without being sent is found without a look at all that waits. */
export class Endings1790000009000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE INDEX "deliveries_timed" ON "deliveries" ("webhook_id")
        WHERE due_at IS NOT NULL AND status IN ('pending', 'retrying')`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX "deliveries_timed"`);
  }
}

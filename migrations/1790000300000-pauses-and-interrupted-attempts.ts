import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * A receiver may ask all nodes for a pause. Deliveries whose workers crashed are no longer claimed
 * one by one, so the index for that goes.
 */
export class PausesAndInterruptedAttempts1790000300000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      // Until when the receiver wants no requests, and how often it asked since its last success.
      `ALTER TABLE "webhook_circuits"
         ADD COLUMN "paused_until" timestamptz,
         ADD COLUMN "pauses" integer NOT NULL DEFAULT 0`,
    );
    await runner.query(`DROP INDEX "deliveries_quarantined"`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `CREATE INDEX "deliveries_quarantined" ON "deliveries" ("due_at")
        WHERE lost_leases >= 2 AND due_at IS NOT NULL`,
    );
    await runner.query(
      `ALTER TABLE "webhook_circuits" DROP COLUMN "paused_until", DROP COLUMN "pauses"`,
    );
  }
}

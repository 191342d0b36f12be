import type { MigrationInterface, QueryRunner } from 'typeorm';

/** What is held is pulled by priority, so it has to stand in the row, and in the index of the line. */
export class DeliveryPriority1790000008000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "deliveries" ADD "priority" smallint NOT NULL DEFAULT 1`);
    await runner.query(`DROP INDEX "deliveries_held"`);
    // Only what may still be sent: for the rest it is never asked again.
    await runner.query(`
      UPDATE "deliveries" d SET "priority" = e."priority"
        FROM "events" e
       WHERE e."id" = d."event_id" AND e."priority" <> 1
         AND (d."due_at" IS NOT NULL OR d."status" IN ('pending', 'retrying'))`);
    await runner.query(`
      CREATE INDEX "deliveries_held" ON "deliveries" ("webhook_id", "priority", "event_id")
        WHERE due_at IS NULL AND status IN ('pending', 'retrying')`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP INDEX "deliveries_held"`);
    await runner.query(`ALTER TABLE "deliveries" DROP "priority"`);
    await runner.query(`
      CREATE INDEX "deliveries_held" ON "deliveries" ("webhook_id", "event_id")
        WHERE due_at IS NULL AND status IN ('pending', 'retrying')`);
  }
}

import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * What ends without being sent is found without a look at all that waits; and an open circuit knows
 * which delivery a person wants sent through it.
 */
export class Endings1790000009000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE INDEX "deliveries_timed" ON "deliveries" ("webhook_id")
        WHERE due_at IS NOT NULL AND status IN ('pending', 'retrying')`);

    for (const table of ['event_outbox', 'deliveries']) {
      await runner.query(`ALTER TABLE "${table}" ADD "expires_at" timestamptz`);
    }
    await runner.query(`
      UPDATE "event_outbox" b SET expires_at = e.expires_at
        FROM "events" e WHERE e.id = b.event_id AND e.expires_at IS NOT NULL`);
    await runner.query(`
      UPDATE "deliveries" d SET expires_at = e.expires_at
        FROM "events" e
       WHERE e.id = d.event_id AND e.expires_at IS NOT NULL
         AND d.status IN ('pending', 'delivering', 'retrying')`);
    await runner.query(`
      CREATE INDEX "deliveries_expiring" ON "deliveries" ("expires_at")
        WHERE expires_at IS NOT NULL AND status IN ('pending', 'retrying')`);

    await runner.query(`ALTER TABLE "webhook_circuits" ADD "wanted" text`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "webhook_circuits" DROP "wanted"`);
    await runner.query(`DROP INDEX "deliveries_expiring"`);
    for (const table of ['deliveries', 'event_outbox']) {
      await runner.query(`ALTER TABLE "${table}" DROP "expires_at"`);
    }
    await runner.query(`DROP INDEX "deliveries_timed"`);
  }
}

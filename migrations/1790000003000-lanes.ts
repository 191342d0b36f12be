import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Lanes: which worker process serves a webhook whose order, rate or number of requests has to hold
 * over all of them. Rows are small, few and rewritten often.
 */
export class Lanes1790000003000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE "webhook_lanes" (
        "webhook_id" text COLLATE "C" NOT NULL,
        "holder" text,
        "until" timestamptz NOT NULL,
        "state" jsonb,
        "state_at" timestamptz,
        CONSTRAINT "webhook_lanes_pkey" PRIMARY KEY ("webhook_id")
      ) WITH (fillfactor = 50)`);
    await runner.query(`CREATE INDEX "webhook_lanes_by_holder" ON "webhook_lanes" ("holder")`);
    await runner.query(`
      CREATE TABLE "lane_holders" (
        "id" text COLLATE "C" NOT NULL,
        "until" timestamptz NOT NULL,
        CONSTRAINT "lane_holders_pkey" PRIMARY KEY ("id")
      ) WITH (fillfactor = 50)`);
    await runner.query(`ALTER TABLE "deliveries" ADD "batch_id" text`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "deliveries" DROP "batch_id"`);
    await runner.query(`DROP TABLE "webhook_lanes", "lane_holders"`);
  }
}

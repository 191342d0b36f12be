import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The circuit breakers. A webhook that has never failed has no row. */
export class Circuits1790000002000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE "webhook_circuits" (
        "webhook_id" text COLLATE "C" NOT NULL,
        "state" text NOT NULL,
        "since" timestamptz,
        "epoch" integer NOT NULL,
        "failures" integer NOT NULL,
        "failing_since" timestamptz,
        "last_failure_at" timestamptz,
        "last_error" text,
        "probe_token" text,
        "probe_lease_ms" integer,
        "audible" boolean NOT NULL,
        "told" boolean NOT NULL,
        "version" bigint NOT NULL,
        "revision" bigint NOT NULL,
        CONSTRAINT "webhook_circuits_pkey" PRIMARY KEY ("webhook_id")
      )`);
    await runner.query(
      `CREATE INDEX "webhook_circuits_by_revision" ON "webhook_circuits" ("revision")`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE "webhook_circuits"`);
  }
}

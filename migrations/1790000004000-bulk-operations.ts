import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Redrives and replays of many deliveries. What an operation is about is fixed when it is asked for,
 * as lists of event ids per webhook (`slices`), which disappear as they are worked off.
 */
export class BulkOperations1790000004000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE "bulk_operations" (
        "id" text COLLATE "C" NOT NULL,
        "kind" text NOT NULL,
        "owner_id" text NOT NULL,
        "status" text NOT NULL,
        "count" integer NOT NULL,
        "done" integer NOT NULL DEFAULT 0,
        "skipped" integer NOT NULL DEFAULT 0,
        "from_statuses" text[] NOT NULL,
        "may_create" boolean NOT NULL,
        "idempotency_key" text,
        "request_hash" text NOT NULL,
        "created_at" timestamptz NOT NULL DEFAULT now(),
        "completed_at" timestamptz,
        CONSTRAINT "bulk_operations_pkey" PRIMARY KEY ("id")
      )`);
    await runner.query(
      `CREATE UNIQUE INDEX "bulk_operations_by_key" ON "bulk_operations"
         ("owner_id", "idempotency_key")`,
    );
    await runner.query(
      `CREATE INDEX "bulk_operations_by_owner" ON "bulk_operations" ("owner_id", "id")`,
    );

    await runner.query(`
      CREATE TABLE "bulk_operation_targets" (
        "operation_id" text COLLATE "C" NOT NULL,
        "webhook_id" text COLLATE "C" NOT NULL,
        "open_ids" text[] NOT NULL DEFAULT '{}',
        "wait_ms" integer NOT NULL DEFAULT 0,
        "due_at" timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT "bulk_operation_targets_pkey" PRIMARY KEY ("operation_id", "webhook_id")
      )`);
    await runner.query(
      `CREATE INDEX "bulk_operation_targets_due" ON "bulk_operation_targets" ("due_at")`,
    );

    await runner.query(`
      CREATE TABLE "bulk_operation_slices" (
        "operation_id" text COLLATE "C" NOT NULL,
        "webhook_id" text COLLATE "C" NOT NULL,
        "number" integer NOT NULL,
        "event_ids" text[] NOT NULL,
        CONSTRAINT "bulk_operation_slices_pkey" PRIMARY KEY ("operation_id", "webhook_id", "number")
      )`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `DROP TABLE "bulk_operation_slices", "bulk_operation_targets", "bulk_operations"`,
    );
  }
}

import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The first schema. There are no foreign keys between the log, the deliveries and the attempts:
 * they are written in bulk on the hot path, and retention drops them by age independently.
 */
export class CreateSchema1790000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE "webhook_registry" (
        "id" smallint NOT NULL,
        "version" bigint NOT NULL,
        CONSTRAINT "webhook_registry_pkey" PRIMARY KEY ("id")
      )`);
    await runner.query(`INSERT INTO "webhook_registry" ("id", "version") VALUES (1, 0)`);
    await runner.query(`
      CREATE TABLE "webhooks" (
        "id" text COLLATE "C" NOT NULL,
        "owner_id" text,
        "url" text NOT NULL,
        "events" text[] NOT NULL,
        "name" text,
        "description" text,
        "sealed_secrets" text NOT NULL,
        "sealed_headers" text,
        "active" boolean NOT NULL,
        "disabled_reason" text,
        "timeout_ms" integer,
        "retry_policy" jsonb,
        "created_at" timestamptz NOT NULL DEFAULT now(),
        "updated_at" timestamptz NOT NULL DEFAULT now(),
        "deleted_at" timestamptz,
        "revision" bigint NOT NULL DEFAULT 0,
        CONSTRAINT "webhooks_pkey" PRIMARY KEY ("id")
      )`);
    await runner.query(`CREATE INDEX "webhooks_by_owner" ON "webhooks" ("owner_id", "id")`);
    await runner.query(`CREATE INDEX "webhooks_by_revision" ON "webhooks" ("revision")`);

    // Every change of a webhook, whoever makes it, takes the next version under the lock of the one
    // registry row. So revisions become visible in order, and a reader that has seen version n has
    // seen every revision up to n. The notification only saves the others the wait.
    await runner.query(`
      CREATE FUNCTION "bump_webhook_revision"() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        UPDATE "webhook_registry" SET "version" = "version" + 1 WHERE "id" = 1
          RETURNING "version" INTO NEW."revision";
        PERFORM pg_notify('tidings_webhooks', NEW."revision"::text);
        RETURN NEW;
      END $$`);
    await runner.query(`
      CREATE TRIGGER "webhooks_revision" BEFORE INSERT OR UPDATE ON "webhooks"
        FOR EACH ROW EXECUTE FUNCTION "bump_webhook_revision"()`);

    await runner.query(`
      CREATE TABLE "events" (
        "id" text COLLATE "C" NOT NULL,
        "owner_id" text,
        "type" text NOT NULL,
        "subject" text,
        "body" text NOT NULL,
        "priority" smallint NOT NULL,
        "expires_at" timestamptz,
        "created_at" timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT "events_pkey" PRIMARY KEY ("id")
      )`);
    await runner.query(`CREATE INDEX "events_by_owner" ON "events" ("owner_id", "id")`);

    // Rows live for milliseconds; the free space lets a claim rewrite them on their own page.
    await runner.query(`
      CREATE TABLE "event_outbox" (
        "event_id" text COLLATE "C" NOT NULL,
        "webhook_ids" text[],
        "due_at" timestamptz NOT NULL,
        "lease_token" text,
        CONSTRAINT "event_outbox_pkey" PRIMARY KEY ("event_id")
      ) WITH (fillfactor = 85)`);
    await runner.query(`CREATE INDEX "event_outbox_due" ON "event_outbox" ("due_at")`);

    await runner.query(`
      CREATE TABLE "idempotency_keys" (
        "owner_id" text NOT NULL,
        "key" text NOT NULL,
        "request_hash" text NOT NULL,
        "event_ids" text[] NOT NULL,
        "created_at" timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT "idempotency_keys_pkey" PRIMARY KEY ("owner_id", "key")
      )`);
    await runner.query(
      `CREATE INDEX "idempotency_keys_by_age" ON "idempotency_keys" ("created_at")`,
    );

    await runner.query(`
      CREATE TABLE "deliveries" (
        "id" text COLLATE "C" NOT NULL,
        "event_id" text COLLATE "C" NOT NULL,
        "webhook_id" text COLLATE "C" NOT NULL,
        "event_type" text NOT NULL,
        "status" text NOT NULL,
        "attempts" integer NOT NULL,
        "budget_start" integer NOT NULL DEFAULT 0,
        "due_at" timestamptz,
        "lease_token" text,
        "last_status_code" smallint,
        "last_error" text,
        "created_at" timestamptz NOT NULL DEFAULT now(),
        "completed_at" timestamptz,
        CONSTRAINT "deliveries_pkey" PRIMARY KEY ("id")
      ) WITH (fillfactor = 85)`);
    await runner.query(`CREATE INDEX "deliveries_by_webhook" ON "deliveries" ("webhook_id", "id")`);
    await runner.query(
      `CREATE INDEX "deliveries_due" ON "deliveries" ("due_at") WHERE due_at IS NOT NULL`,
    );
    await runner.query(
      `CREATE INDEX "deliveries_dead" ON "deliveries" ("id") WHERE status = 'dead_letter'`,
    );

    await runner.query(
      `CREATE INDEX "deliveries_held" ON "deliveries" ("webhook_id")
        WHERE due_at IS NULL AND status IN ('pending', 'retrying')`,
    );

    await runner.query(`
      CREATE TABLE "delivery_attempts" (
        "delivery_id" text COLLATE "C" NOT NULL,
        "started_at" timestamptz NOT NULL,
        "number" integer NOT NULL,
        "duration_ms" integer NOT NULL,
        "status_code" smallint,
        "error" text,
        "response_body" text,
        CONSTRAINT "delivery_attempts_pkey" PRIMARY KEY ("delivery_id", "started_at")
      )`);

    await runner.query(`
      CREATE TABLE "api_keys" (
        "id" text COLLATE "C" NOT NULL,
        "owner_id" text NOT NULL,
        "name" text NOT NULL,
        "hash" text NOT NULL,
        "prefix" text NOT NULL,
        "roles" text[] NOT NULL,
        "topics" text[],
        "expires_at" timestamptz,
        "created_at" timestamptz NOT NULL DEFAULT now(),
        CONSTRAINT "api_keys_pkey" PRIMARY KEY ("id")
      )`);
    await runner.query(`CREATE UNIQUE INDEX "api_keys_by_hash" ON "api_keys" ("hash")`);
    await runner.query(`CREATE INDEX "api_keys_by_owner" ON "api_keys" ("owner_id", "id")`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `DROP TABLE "api_keys", "delivery_attempts", "deliveries", "idempotency_keys",
                  "event_outbox", "events", "webhooks", "webhook_registry"`,
    );
    await runner.query(`DROP FUNCTION "bump_webhook_revision"()`);
  }
}

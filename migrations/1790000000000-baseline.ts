import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * The whole schema as of the first release. From the first tag on this file is immutable, and every
 * change is a migration of its own.
 *
 * There are no foreign keys between the log, the deliveries and the attempts: they are written in
 * bulk on the hot path, and retention drops them by age independently.
 */
export class Baseline1790000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const statement of SCHEMA) await runner.query(statement);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `DROP TABLE "api_keys", "event_types", "realtime_connections", "nodes",
         "bulk_operation_slices", "bulk_operation_targets", "bulk_operations",
         "webhook_leases", "webhook_circuits", "delivery_attempts", "deliveries",
         "idempotency_keys", "event_outbox", "events", "webhooks", "webhook_versions"`,
    );
    await runner.query(`DROP SEQUENCE "event_type_revisions"`);
    await runner.query(`DROP FUNCTION "bump_webhook_revision"(), "bump_event_type_revision"()`);
  }
}

const WEBHOOKS = [
  `CREATE TABLE "webhook_versions" (
    "id" smallint NOT NULL,
    "version" bigint NOT NULL,
    CONSTRAINT "webhook_versions_pkey" PRIMARY KEY ("id")
  )`,
  `INSERT INTO "webhook_versions" ("id", "version") VALUES (1, 0)`,
  `CREATE TABLE "webhooks" (
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
    "rate_limit" jsonb,
    "max_concurrency" integer,
    "ordering" text NOT NULL DEFAULT 'none',
    "batch" jsonb,
    "created_at" timestamptz NOT NULL DEFAULT now(),
    "updated_at" timestamptz NOT NULL DEFAULT now(),
    "deleted_at" timestamptz,
    "revision" bigint NOT NULL DEFAULT 0,
    CONSTRAINT "webhooks_pkey" PRIMARY KEY ("id")
  )`,
  `CREATE INDEX "webhooks_by_owner" ON "webhooks" ("owner_id", "id")`,
  `CREATE INDEX "webhooks_by_revision" ON "webhooks" ("revision")`,
  // Every change of a webhook takes the next version under the lock of the one version row. So
  // revisions become visible in order, and a reader that has seen version n has seen every revision
  // up to n. The notification only saves the other processes the wait for their next poll.
  `CREATE FUNCTION "bump_webhook_revision"() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    UPDATE "webhook_versions" SET "version" = "version" + 1 WHERE "id" = 1
      RETURNING "version" INTO NEW."revision";
    PERFORM pg_notify('tidings_webhooks', NEW."revision"::text);
    RETURN NEW;
  END $$`,
  `CREATE TRIGGER "webhooks_revision" BEFORE INSERT OR UPDATE ON "webhooks"
    FOR EACH ROW EXECUTE FUNCTION "bump_webhook_revision"()`,
];

/**
 * The log is partitioned by id, which begins with the millisecond of the event: retention drops
 * tables and not rows. The running product adds a partition per day; these are for what has none.
 */
const LOG = [
  `CREATE TABLE "events" (
    "id" text COLLATE "C" NOT NULL,
    "owner_id" text,
    "type" text NOT NULL,
    "subject" text,
    "body" text NOT NULL,
    "priority" smallint NOT NULL,
    "expires_at" timestamptz,
    "created_at" timestamptz NOT NULL DEFAULT now(),
    "tx" bigint,
    "tx_snapshot" text,
    "published_by" integer,
    CONSTRAINT "events_pkey" PRIMARY KEY ("id")
  ) PARTITION BY RANGE ("id")`,
  `CREATE TABLE "events_default" PARTITION OF "events" DEFAULT`,
  `CREATE INDEX "events_by_owner" ON "events" ("owner_id", "id")`,
  `CREATE INDEX "events_by_tx" ON "events" ("tx", "id")`,

  `CREATE TABLE "deliveries" (
    "id" text COLLATE "C" NOT NULL,
    "event_id" text COLLATE "C" NOT NULL,
    "webhook_id" text COLLATE "C" NOT NULL,
    "event_type" text NOT NULL,
    "status" text NOT NULL,
    "priority" smallint NOT NULL DEFAULT 1,
    "attempts" integer NOT NULL,
    "budget_start" integer NOT NULL DEFAULT 0,
    "due_at" timestamptz,
    "lease_token" text,
    "not_before" timestamptz,
    "expires_at" timestamptz,
    "last_status_code" smallint,
    "last_error" text,
    "last_attempt_at" timestamptz,
    "last_duration_ms" integer,
    "last_attempt_error" text,
    "last_response_body" text,
    "lost_leases" smallint NOT NULL DEFAULT 0,
    "batch_id" text,
    "created_at" timestamptz NOT NULL DEFAULT now(),
    "completed_at" timestamptz,
    CONSTRAINT "deliveries_pkey" PRIMARY KEY ("id")
  ) PARTITION BY RANGE ("id")`,
  // Rows are updated on their own page. A partitioned table has no such setting: each partition has.
  `CREATE TABLE "deliveries_default" PARTITION OF "deliveries" DEFAULT WITH (fillfactor = 85)`,
  `CREATE INDEX "deliveries_by_webhook" ON "deliveries" ("webhook_id", "id")`,
  `CREATE INDEX "deliveries_due" ON "deliveries" ("due_at") WHERE due_at IS NOT NULL`,
  `CREATE INDEX "deliveries_dead" ON "deliveries" ("id") WHERE status = 'dead_letter'`,
  `CREATE INDEX "deliveries_deferred" ON "deliveries" ("webhook_id", "priority", "event_id")
    WHERE due_at IS NULL AND status IN ('pending', 'retrying')`,
  `CREATE INDEX "deliveries_scheduled" ON "deliveries" ("webhook_id")
    WHERE due_at IS NOT NULL AND status IN ('pending', 'retrying')`,
  `CREATE INDEX "deliveries_leased" ON "deliveries" ("webhook_id") WHERE status = 'delivering'`,
  `CREATE INDEX "deliveries_quarantined" ON "deliveries" ("due_at")
    WHERE lost_leases >= 2 AND due_at IS NOT NULL`,
  `CREATE INDEX "deliveries_expiring" ON "deliveries" ("expires_at")
    WHERE expires_at IS NOT NULL AND status IN ('pending', 'retrying')`,

  `CREATE TABLE "delivery_attempts" (
    "delivery_id" text COLLATE "C" NOT NULL,
    "started_at" timestamptz NOT NULL,
    "number" integer NOT NULL,
    "duration_ms" integer NOT NULL,
    "status_code" smallint,
    "error" text,
    "response_body" text,
    CONSTRAINT "delivery_attempts_pkey" PRIMARY KEY ("delivery_id", "started_at")
  ) PARTITION BY RANGE ("delivery_id")`,
  `CREATE TABLE "delivery_attempts_default" PARTITION OF "delivery_attempts" DEFAULT`,
];

const PUBLISHING = [
  // One row per event until every matched webhook has an outcome: deliveries without an outcome have
  // no row of their own. Rows live for milliseconds; the free space lets a claim rewrite them on their
  // own page.
  `CREATE TABLE "event_outbox" (
    "event_id" text COLLATE "C" NOT NULL,
    -- The webhooks that matched at the commit; null: to be matched by the worker.
    "webhook_ids" text[],
    -- When a sweeper may claim it: at once, or when the lease ends.
    "due_at" timestamptz NOT NULL,
    -- Fencing token of the lease; null: not claimed.
    "lease_token" text,
    "lost_leases" smallint NOT NULL DEFAULT 0,
    -- When the time to live of the event ends.
    "expires_at" timestamptz,
    CONSTRAINT "event_outbox_pkey" PRIMARY KEY ("event_id")
  ) WITH (fillfactor = 85)`,
  `CREATE INDEX "event_outbox_due" ON "event_outbox" ("due_at")`,
  // Publish requests that were accepted with an Idempotency-Key. Keys are per owner.
  `CREATE TABLE "idempotency_keys" (
    "owner_id" text NOT NULL,
    "key" text NOT NULL,
    -- SHA-256 of the request; another content under the same key is a conflict.
    "request_hash" text NOT NULL,
    "event_ids" text[] NOT NULL,
    "created_at" timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT "idempotency_keys_pkey" PRIMARY KEY ("owner_id", "key")
  )`,
  `CREATE INDEX "idempotency_keys_by_age" ON "idempotency_keys" ("created_at")`,
  `CREATE SEQUENCE "event_type_revisions"`,
  `CREATE TABLE "event_types" (
    "name" text COLLATE "C" NOT NULL,
    "description" text,
    "schema" text,
    "priority" text NOT NULL DEFAULT 'normal',
    "transports" text[] NOT NULL,
    "durable" boolean NOT NULL DEFAULT true,
    "coalesce_ms" integer,
    "created_at" timestamptz NOT NULL DEFAULT now(),
    "updated_at" timestamptz NOT NULL DEFAULT now(),
    "revision" bigint NOT NULL DEFAULT 0,
    CONSTRAINT "event_types_pkey" PRIMARY KEY ("name")
  )`,
  // A revision never comes back, also when a type is deleted and created again: processes compare
  // the revisions that they have with those of the table, and read the types that differ.
  `CREATE FUNCTION "bump_event_type_revision"() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    PERFORM pg_notify('tidings_event_types', '');
    IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
    NEW."revision" := nextval('event_type_revisions');
    RETURN NEW;
  END $$`,
  `CREATE TRIGGER "event_types_revision" BEFORE INSERT OR UPDATE OR DELETE ON "event_types"
    FOR EACH ROW EXECUTE FUNCTION "bump_event_type_revision"()`,
];

/** What the worker processes agree on about a webhook. Few rows, rewritten often. */
const COORDINATION = [
  // A webhook that has never failed has no row. Written only where the state changes.
  `CREATE TABLE "webhook_circuits" (
    "webhook_id" text COLLATE "C" NOT NULL,
    "state" text NOT NULL,
    -- When the present state began; null: closed from the beginning.
    "since" timestamptz,
    -- Counts openings and closings: a request belongs to the epoch that it started in.
    "epoch" integer NOT NULL,
    -- In a row, over all nodes.
    "failures" integer NOT NULL,
    -- When the first of them came; null: the last result was a success.
    "failing_since" timestamptz,
    "last_failure_at" timestamptz,
    "last_error" text,
    -- Half-open: the token of the worker that may send the probe, and the length of its lease.
    "probe_token" text,
    "probe_lease_ms" integer,
    -- The delivery that a caller has redriven and that is to be the probe.
    "requested_probe" text,
    -- Whether one of the failures was of an event that is not a system event.
    "counts_for_alert" boolean NOT NULL,
    -- Whether the system event about the opening was published.
    "opening_notified" boolean NOT NULL,
    -- A writer changes the row only if it has the version that the writer read.
    "version" bigint NOT NULL,
    -- The transaction of the last change; nodes read the changes since theirs.
    "revision" bigint NOT NULL,
    CONSTRAINT "webhook_circuits_pkey" PRIMARY KEY ("webhook_id")
  )`,
  `CREATE INDEX "webhook_circuits_by_revision" ON "webhook_circuits" ("revision")`,
  // Which node serves an exclusive webhook.
  `CREATE TABLE "webhook_leases" (
    "webhook_id" text COLLATE "C" NOT NULL,
    -- The node; null: released.
    "holder" text,
    -- On the database's clock.
    "until" timestamptz NOT NULL,
    -- Requests of the last period, for the rate limit; their ages count from \`state_at\`.
    "state" jsonb,
    "state_at" timestamptz,
    CONSTRAINT "webhook_leases_pkey" PRIMARY KEY ("webhook_id")
  ) WITH (fillfactor = 50)`,
  `CREATE INDEX "webhook_leases_by_holder" ON "webhook_leases" ("holder")`,
];

/**
 * Redrives and replays of many deliveries. What an operation covers is fixed when it is requested,
 * as lists of event ids per webhook (`slices`), which are deleted as they are worked off.
 */
const BULK_OPERATIONS = [
  `CREATE TABLE "bulk_operations" (
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
  )`,
  `CREATE UNIQUE INDEX "bulk_operations_by_key" ON "bulk_operations"
     ("owner_id", "idempotency_key")`,
  `CREATE INDEX "bulk_operations_by_owner" ON "bulk_operations" ("owner_id", "id")`,
  // What an operation still has to do for one webhook. A runner locks the row for one transaction, so
  // a crash leaves nothing to clean up.
  `CREATE TABLE "bulk_operation_targets" (
    "operation_id" text COLLATE "C" NOT NULL,
    "webhook_id" text COLLATE "C" NOT NULL,
    -- Deliveries that it has requeued and that had no outcome at the last look.
    "open_ids" text[] NOT NULL DEFAULT '{}',
    -- The wait before that look; it grows while nothing changes.
    "wait_ms" integer NOT NULL DEFAULT 0,
    "due_at" timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT "bulk_operation_targets_pkey" PRIMARY KEY ("operation_id", "webhook_id")
  )`,
  `CREATE INDEX "bulk_operation_targets_due" ON "bulk_operation_targets" ("due_at")`,
  `CREATE TABLE "bulk_operation_slices" (
    "operation_id" text COLLATE "C" NOT NULL,
    "webhook_id" text COLLATE "C" NOT NULL,
    "number" integer NOT NULL,
    "event_ids" text[] NOT NULL,
    CONSTRAINT "bulk_operation_slices_pkey" PRIMARY KEY ("operation_id", "webhook_id", "number")
  )`,
];

/** The node registry. A lost node was found dead by another one; its entry is never renewed again. */
const NODES = [
  `CREATE TABLE "nodes" (
    "id" text COLLATE "C" NOT NULL,
    "roles" text[] NOT NULL,
    "until" timestamptz NOT NULL,
    "is_lost" boolean NOT NULL,
    CONSTRAINT "nodes_pkey" PRIMARY KEY ("id")
  ) WITH (fillfactor = 50)`,
];

/**
 * The connections of all nodes. The register outlives a node, so that another one can publish that
 * its connections have ended. Rows are small and come and go with the connections.
 */
const REALTIME = [
  `CREATE TABLE "realtime_connections" (
    "id" text COLLATE "C" NOT NULL,
    "node_id" text COLLATE "C" NOT NULL,
    "owner_id" text NOT NULL,
    "transport" text NOT NULL,
    "connected_at" timestamptz NOT NULL,
    "is_announced" boolean NOT NULL,
    "ended_at" timestamptz,
    CONSTRAINT "realtime_connections_pkey" PRIMARY KEY ("id")
  )`,
  `CREATE INDEX "realtime_connections_by_node" ON "realtime_connections" ("node_id")`,
  `CREATE INDEX "realtime_connections_by_owner" ON "realtime_connections" ("owner_id", "id")`,
];

const API_KEYS = [
  `CREATE TABLE "api_keys" (
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
  )`,
  `CREATE UNIQUE INDEX "api_keys_by_hash" ON "api_keys" ("hash")`,
  `CREATE INDEX "api_keys_by_owner" ON "api_keys" ("owner_id", "id")`,
];

const SCHEMA = [
  ...WEBHOOKS,
  ...LOG,
  ...PUBLISHING,
  ...COORDINATION,
  ...BULK_OPERATIONS,
  ...NODES,
  ...REALTIME,
  ...API_KEYS,
];

import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Tables of the log, and the column of ids that holds their time. */
const TABLES = { events: 'id', deliveries: 'id', delivery_attempts: 'delivery_id' } as const;
type Table = keyof typeof TABLES;

const PREFIX: Record<Table, string> = {
  events: 'evt_',
  deliveries: 'dlv_',
  delivery_attempts: 'dlv_',
};

const COLUMNS: Record<Table, string> = {
  events: `
    "id" text COLLATE "C" NOT NULL,
    "owner_id" text,
    "type" text NOT NULL,
    "subject" text,
    "body" text NOT NULL,
    "priority" smallint NOT NULL,
    "expires_at" timestamptz,
    "created_at" timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT "events_pkey" PRIMARY KEY ("id")`,
  deliveries: `
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
    CONSTRAINT "deliveries_pkey" PRIMARY KEY ("id")`,
  delivery_attempts: `
    "delivery_id" text COLLATE "C" NOT NULL,
    "started_at" timestamptz NOT NULL,
    "number" integer NOT NULL,
    "duration_ms" integer NOT NULL,
    "status_code" smallint,
    "error" text,
    "response_body" text,
    CONSTRAINT "delivery_attempts_pkey" PRIMARY KEY ("delivery_id", "started_at")`,
};

const FIRST_INDEXES: Record<Table, string[]> = {
  events: [`CREATE INDEX "events_by_owner" ON "events" ("owner_id", "id")`],
  deliveries: [
    `CREATE INDEX "deliveries_by_webhook" ON "deliveries" ("webhook_id", "id")`,
    `CREATE INDEX "deliveries_due" ON "deliveries" ("due_at") WHERE due_at IS NOT NULL`,
    `CREATE INDEX "deliveries_dead" ON "deliveries" ("id") WHERE status = 'dead_letter'`,
    `CREATE INDEX "deliveries_held" ON "deliveries" ("webhook_id")
       WHERE due_at IS NULL AND status IN ('pending', 'retrying')`,
  ],
  delivery_attempts: [],
};

/** Rows are rewritten on their own page. A partitioned table has no such setting: each part has it. */
const FREE_SPACE: Record<Table, string> = {
  events: '',
  deliveries: 'WITH (fillfactor = 85)',
  delivery_attempts: '',
};

const DAY_MS = 86_400_000;

/**
 * The log in partitions by time, so that retention drops tables and not rows. An id holds its
 * millisecond, so a range of ids is a range of time. What there is already becomes the first
 * partition as it stands; nothing is copied. Beside them, `deliveries` takes in its latest attempt:
 * a delivery that succeeds at once is one row. Events say which transactions they came after, so
 * that a reader who has seen one can tell which others it cannot have seen, however late they commit.
 */
export class PartitionTheLog1790000001000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const table of tables()) await partition(runner, table);
    await runner.query(`ALTER TABLE "events" ADD "tx" bigint, ADD "tx_snapshot" text`);
    await runner.query(`CREATE INDEX "events_by_tx" ON "events" ("tx", "id")`);
    await runner.query(`
      ALTER TABLE "deliveries"
        ADD "not_before" timestamptz,
        ADD "last_attempt_at" timestamptz,
        ADD "last_duration_ms" integer,
        ADD "last_attempt_error" text,
        ADD "last_response_body" text,
        ADD "crashes" smallint NOT NULL DEFAULT 0`);
    await runner.query(`DROP INDEX "deliveries_held"`);
    await runner.query(`
      CREATE INDEX "deliveries_held" ON "deliveries" ("webhook_id", "event_id")
        WHERE due_at IS NULL AND status IN ('pending', 'retrying')`);
    await runner.query(`
      CREATE INDEX "deliveries_leased" ON "deliveries" ("webhook_id") WHERE status = 'delivering'`);
    await runner.query(`
      CREATE INDEX "deliveries_suspect" ON "deliveries" ("due_at")
        WHERE crashes >= 2 AND due_at IS NOT NULL`);
    await runner.query(`
      ALTER TABLE "event_outbox" ADD "crashes" smallint NOT NULL DEFAULT 0`);
    await runner.query(`
      ALTER TABLE "webhooks"
        ADD "rate_limit" jsonb,
        ADD "max_concurrency" integer,
        ADD "ordering" text NOT NULL DEFAULT 'none',
        ADD "batch" jsonb`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`
      ALTER TABLE "webhooks" DROP "rate_limit", DROP "max_concurrency", DROP "ordering",
        DROP "batch"`);
    await runner.query(`ALTER TABLE "event_outbox" DROP "crashes"`);
    // The latest attempts, back to where all of them were.
    await runner.query(`
      INSERT INTO "delivery_attempts"
        ("delivery_id", "started_at", "number", "duration_ms", "status_code", "error",
         "response_body")
      SELECT "id", "last_attempt_at", "attempts", coalesce("last_duration_ms", 0),
             "last_status_code", "last_attempt_error", "last_response_body"
        FROM "deliveries" WHERE "last_attempt_at" IS NOT NULL
      ON CONFLICT DO NOTHING`);
    await runner.query(`
      ALTER TABLE "deliveries" DROP "not_before", DROP "last_attempt_at", DROP "last_duration_ms",
        DROP "last_attempt_error",
        DROP "last_response_body", DROP "crashes"`);
    await runner.query(`ALTER TABLE "events" DROP "tx", DROP "tx_snapshot"`);
    for (const table of tables()) await merge(runner, table);
  }
}

const tables = (): Table[] => Object.keys(TABLES) as Table[];

async function partition(runner: QueryRunner, table: Table): Promise<void> {
  await rename(runner, table, `${table}_first`);
  await runner.query(
    `CREATE TABLE "${table}" (${COLUMNS[table]}) PARTITION BY RANGE ("${TABLES[table]}")`,
  );
  for (const index of FIRST_INDEXES[table]) await runner.query(index);
  await runner.query(
    `CREATE TABLE "${table}_default" PARTITION OF "${table}" DEFAULT ${FREE_SPACE[table]}`,
  );
  const [row] = (await runner.query(`SELECT 1 FROM "${table}_first" LIMIT 1`)) as unknown[];
  if (row === undefined) {
    await runner.query(`DROP TABLE "${table}_first"`);
  } else {
    await runner.query(
      `ALTER TABLE "${table}" ATTACH PARTITION "${table}_first"
         FOR VALUES FROM (MINVALUE) TO ('${PREFIX[table]}${suffixAt(startOfTomorrow())}')`,
    );
  }
}

/** Back to one table each. */
async function merge(runner: QueryRunner, table: Table): Promise<void> {
  await rename(runner, table, `${table}_parts`);
  await runner.query(`CREATE TABLE "${table}" (${COLUMNS[table]}) ${FREE_SPACE[table]}`);
  for (const index of FIRST_INDEXES[table]) await runner.query(index);
  await runner.query(`INSERT INTO "${table}" SELECT * FROM "${table}_parts"`);
  await runner.query(`DROP TABLE "${table}_parts"`);
}

/** With its indexes, whose names the new table takes. */
async function rename(runner: QueryRunner, from: Table, to: string): Promise<void> {
  await runner.query(`ALTER TABLE "${from}" RENAME TO "${to}"`);
  const indexes = (await runner.query(
    `SELECT indexname FROM pg_indexes
      WHERE schemaname = current_schema() AND tablename = '${to}'`,
  )) as { indexname: string }[];
  for (const { indexname } of indexes) {
    await runner.query(`ALTER INDEX "${indexname}" RENAME TO "${indexname}_first"`);
  }
}

/** The first partition ends with the day: the ones after it are days. */
const startOfTomorrow = (): number => (Math.floor(Date.now() / DAY_MS) + 1) * DAY_MS;

/** The smallest suffix of ids of this millisecond: TypeID's base32 of the 48 bits of a UUIDv7. */
function suffixAt(ms: number): string {
  const alphabet = '0123456789abcdefghjkmnpqrstvwxyz';
  let digits = '';
  for (let rest = BigInt(ms), index = 0; index < 10; index++, rest /= 32n) {
    digits = alphabet[Number(rest % 32n)] + digits;
  }
  return digits.padEnd(26, '0');
}

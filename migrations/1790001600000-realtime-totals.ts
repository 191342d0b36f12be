import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Every live connection of an owner has a number, and the owner's connections and messages are counted. */
export class RealtimeTotals1790001600000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "realtime_connections" ADD "client_number" bigint`);
    await runner.query(`CREATE TABLE "realtime_totals" (
      "owner_id" text COLLATE "C" NOT NULL,
      -- Connections, ever: the number of the last one.
      "opened" bigint NOT NULL,
      -- Rows of the owner in realtime_connections.
      "active" bigint NOT NULL,
      -- Messages of clients, ever.
      "messages" bigint NOT NULL,
      CONSTRAINT "realtime_totals_pkey" PRIMARY KEY ("owner_id")
    ) WITH (fillfactor = 50)`);
    await runner.query(`INSERT INTO "realtime_totals"
      SELECT owner_id, count(*), count(*), 0 FROM "realtime_connections" GROUP BY owner_id`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE "realtime_totals"`);
    await runner.query(`ALTER TABLE "realtime_connections" DROP COLUMN "client_number"`);
  }
}

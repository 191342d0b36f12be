import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Who is connected, and to which process: a register that outlives the process, so that another one
 * can tell that its connections are over. Rows are small, and come and go with the connections.
 */
export class RealtimeConnections1790000005000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE "realtime_nodes" (
        "id" text COLLATE "C" NOT NULL,
        "until" timestamptz NOT NULL,
        "is_lost" boolean NOT NULL,
        CONSTRAINT "realtime_nodes_pkey" PRIMARY KEY ("id")
      ) WITH (fillfactor = 50)`);
    await runner.query(`
      CREATE TABLE "realtime_connections" (
        "id" text COLLATE "C" NOT NULL,
        "node_id" text COLLATE "C" NOT NULL,
        "owner_id" text NOT NULL,
        "transport" text NOT NULL,
        "connected_at" timestamptz NOT NULL,
        "is_told" boolean NOT NULL,
        "ended_at" timestamptz,
        CONSTRAINT "realtime_connections_pkey" PRIMARY KEY ("id")
      )`);
    await runner.query(
      `CREATE INDEX "realtime_connections_by_node" ON "realtime_connections" ("node_id")`,
    );
    await runner.query(
      `CREATE INDEX "realtime_connections_by_owner" ON "realtime_connections" ("owner_id", "id")`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE "realtime_connections", "realtime_nodes"`);
  }
}

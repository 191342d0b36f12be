import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Users inside tenants: an API key stands for one, and a live connection belongs to one. */
export class Users1790001050000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    for (const table of ['api_keys', 'realtime_connections']) {
      await runner.query(`ALTER TABLE "${table}" ADD "user_id" text`);
      // Until now an owner was its only user.
      await runner.query(`UPDATE "${table}" SET "user_id" = "owner_id"`);
      await runner.query(`ALTER TABLE "${table}" ALTER "user_id" SET NOT NULL`);
    }
    await runner.query(
      `ALTER TABLE "realtime_connections" ADD "client_id" text, ADD "address" text NOT NULL DEFAULT ''`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(
      `ALTER TABLE "realtime_connections" DROP COLUMN "client_id", DROP COLUMN "address"`,
    );
    for (const table of ['api_keys', 'realtime_connections']) {
      await runner.query(`ALTER TABLE "${table}" DROP COLUMN "user_id"`);
    }
  }
}

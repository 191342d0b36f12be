import type { MigrationInterface, QueryRunner } from 'typeorm';

/** A key that was created with a key is revoked with it. */
export class ApiKeyParent1790000500000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      `ALTER TABLE "api_keys" ADD "parent_id" text COLLATE "C"
         CONSTRAINT "api_keys_parent" REFERENCES "api_keys" ("id") ON DELETE CASCADE`,
    );
    await runner.query(`CREATE INDEX "api_keys_by_parent" ON "api_keys" ("parent_id")`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "api_keys" DROP COLUMN "parent_id"`);
  }
}

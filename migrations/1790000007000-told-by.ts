import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Which process told sockets of an event, for those who come back; see EventEntity. */
export class ToldBy1790000007000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "events" ADD COLUMN "told_by" integer`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "events" DROP COLUMN "told_by"`);
  }
}

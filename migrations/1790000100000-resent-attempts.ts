import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Whether the request of an attempt was sent twice. Null for false: most rows need no byte for it. */
export class ResentAttempts1790000100000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "deliveries" ADD COLUMN "last_attempt_resent" boolean`);
    await runner.query(`ALTER TABLE "delivery_attempts" ADD COLUMN "resent" boolean`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "delivery_attempts" DROP COLUMN "resent"`);
    await runner.query(`ALTER TABLE "deliveries" DROP COLUMN "last_attempt_resent"`);
  }
}

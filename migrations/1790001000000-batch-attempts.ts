import type { MigrationInterface, QueryRunner } from 'typeorm';

/** So that the attempts of a batch are numbered from 1, although its deliveries have had some before. */
export class BatchAttempts1790001000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "deliveries" ADD COLUMN "batch_start" smallint`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "deliveries" DROP COLUMN "batch_start"`);
  }
}

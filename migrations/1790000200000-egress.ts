import type { MigrationInterface, QueryRunner } from 'typeorm';

/** Certificates of a webhook, and why an attempt failed in words. */
export class Egress1790000200000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "webhooks" ADD COLUMN "sealed_tls" text`);
    await runner.query(`ALTER TABLE "deliveries" ADD COLUMN "last_attempt_message" text`);
    await runner.query(`ALTER TABLE "delivery_attempts" ADD COLUMN "error_message" text`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "delivery_attempts" DROP COLUMN "error_message"`);
    await runner.query(`ALTER TABLE "deliveries" DROP COLUMN "last_attempt_message"`);
    await runner.query(`ALTER TABLE "webhooks" DROP COLUMN "sealed_tls"`);
  }
}

import type { MigrationInterface, QueryRunner } from 'typeorm';

/** When the engine switched a webhook off; of webhooks that are off already, the time of their last change. */
export class WebhookDisabledAt1790000900000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "webhooks" ADD COLUMN "disabled_at" timestamp with time zone`);
    await runner.query(
      `UPDATE "webhooks" SET "disabled_at" = "updated_at" WHERE "disabled_reason" IS NOT NULL`,
    );
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "webhooks" DROP COLUMN "disabled_at"`);
  }
}

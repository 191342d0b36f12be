import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The channel of an event type, under which live clients find its events. */
export class Channels1790001500000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "event_types" ADD "channel" text COLLATE "C"`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`ALTER TABLE "event_types" DROP COLUMN "channel"`);
  }
}

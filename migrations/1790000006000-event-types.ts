import type { MigrationInterface, QueryRunner } from 'typeorm';

/** The catalogue of event types. */
export class EventTypes1790000006000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE SEQUENCE "event_type_revisions"`);
    await runner.query(`
      CREATE TABLE "event_types" (
        "name" text COLLATE "C" NOT NULL,
        "description" text,
        "schema" text,
        "priority" text NOT NULL DEFAULT 'normal',
        "transports" text[] NOT NULL,
        "durable" boolean NOT NULL DEFAULT true,
        "coalesce_ms" integer,
        "created_at" timestamptz NOT NULL DEFAULT now(),
        "updated_at" timestamptz NOT NULL DEFAULT now(),
        "revision" bigint NOT NULL DEFAULT 0,
        CONSTRAINT "event_types_pkey" PRIMARY KEY ("name")
      )`);

    // A revision never comes back, also when a type is deleted and made again: processes compare
    // what they know of a type with what the table says, and read what differs.
    await runner.query(`
      CREATE FUNCTION "bump_event_type_revision"() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN
        PERFORM pg_notify('tidings_event_types', '');
        IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
        NEW."revision" := nextval('event_type_revisions');
        RETURN NEW;
      END $$`);
    await runner.query(`
      CREATE TRIGGER "event_types_revision" BEFORE INSERT OR UPDATE OR DELETE ON "event_types"
        FOR EACH ROW EXECUTE FUNCTION "bump_event_type_revision"()`);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`DROP TABLE "event_types"`);
    await runner.query(`DROP FUNCTION "bump_event_type_revision"()`);
    await runner.query(`DROP SEQUENCE "event_type_revisions"`);
  }
}

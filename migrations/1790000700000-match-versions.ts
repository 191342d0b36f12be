import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * A version per owner of what matching depends on, so that the changes of one owner never concern what
 * another one publishes. The single version of all webhooks stays: caches read the changes by it.
 */
export class MatchVersions1790000700000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    // A scope without a row has not changed since: processes that compare versions read all webhooks
    // when they start.
    await runner.query(`CREATE TABLE "webhook_match_versions" (
      "scope" text COLLATE "C" NOT NULL,
      "version" bigint NOT NULL,
      CONSTRAINT "webhook_match_versions_pkey" PRIMARY KEY ("scope")
    ) WITH (fillfactor = 50)`);
    await runner.query(BUMP_WITH_SCOPES);
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query(BUMP);
    await runner.query(`DROP TABLE "webhook_match_versions"`);
  }
}

/** As in the baseline. */
const BUMP = `CREATE OR REPLACE FUNCTION "bump_webhook_revision"() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    UPDATE "webhook_versions" SET "version" = "version" + 1 WHERE "id" = 1
      RETURNING "version" INTO NEW."revision";
    PERFORM pg_notify('tidings_webhooks', NEW."revision"::text);
    RETURN NEW;
  END $$`;

/**
 * A webhook that is inactive before and after a change matches nothing, and the columns that are left
 * out only describe it. Any other column counts, also one that a later migration adds: a version too
 * many costs a little time, one too few a delivery.
 */
const BUMP_WITH_SCOPES = `CREATE OR REPLACE FUNCTION "bump_webhook_revision"() RETURNS trigger LANGUAGE plpgsql AS $$
  DECLARE
    describing constant text[] := '{name,description,disabled_reason,disabled_at,updated_at,revision}';
  BEGIN
    UPDATE "webhook_versions" SET "version" = "version" + 1 WHERE "id" = 1
      RETURNING "version" INTO NEW."revision";
    PERFORM pg_notify('tidings_webhooks', NEW."revision"::text);
    IF TG_OP = 'INSERT' THEN
      IF NOT NEW."active" THEN RETURN NEW; END IF;
    ELSIF NOT (OLD."active" OR NEW."active")
       OR to_jsonb(OLD) - describing = to_jsonb(NEW) - describing THEN
      RETURN NEW;
    END IF;
    INSERT INTO "webhook_match_versions" ("scope", "version")
    SELECT "scope", NEW."revision"
      FROM (VALUES (coalesce('owner:' || NEW."owner_id", 'operator')), ('all')) AS concerned("scope")
    ON CONFLICT ("scope") DO UPDATE SET "version" = excluded."version";
    RETURN NEW;
  END $$`;

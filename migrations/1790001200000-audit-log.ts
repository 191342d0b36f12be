import type { MigrationInterface, QueryRunner } from 'typeorm';

const INDEXES = {
  audit_log_by_owner: 'owner_id',
  audit_log_by_user: 'user_id',
  audit_log_by_action: 'action',
  audit_log_by_resource_type: 'resource_type',
  audit_log_by_resource: 'resource_id',
};

/** Who has asked for it; rows from before do not know. */
const ATTRIBUTIONS = {
  webhooks: 'created_by',
  deliveries: 'requested_by',
  bulk_operations: 'requested_by',
};

/** Who changed what: the audit log, and the callers in the history. */
export class AuditLog1790001200000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE TABLE "audit_log" (
        "id" text COLLATE "C" PRIMARY KEY,
        "owner_id" text,
        "actor_owner_id" text,
        "user_id" text,
        "api_key_id" text COLLATE "C",
        "roles" text[] NOT NULL,
        "action" text NOT NULL,
        "resource_type" text NOT NULL,
        "resource_id" text COLLATE "C",
        "changes" text NOT NULL,
        "address" text,
        "request_id" text)`);
    for (const [name, column] of Object.entries(INDEXES)) {
      await runner.query(`CREATE INDEX "${name}" ON "audit_log" ("${column}", "id")`);
    }
    for (const [table, column] of Object.entries(ATTRIBUTIONS)) {
      await runner.query(`ALTER TABLE "${table}" ADD "${column}" jsonb`);
    }
  }

  async down(runner: QueryRunner): Promise<void> {
    for (const [table, column] of Object.entries(ATTRIBUTIONS)) {
      await runner.query(`ALTER TABLE "${table}" DROP COLUMN "${column}"`);
    }
    await runner.query(`DROP TABLE "audit_log"`);
  }
}

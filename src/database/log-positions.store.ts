import type { QueryRunner } from 'typeorm';

/** A transaction that this server has not begun yet: the log was written on another one. */
const IS_FOREIGN = `
  SELECT coalesce(max(tx) >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint, false) AS "isForeign"
    FROM events`;

/** Positions in the log, and what else is compared with transactions of the server. */
const FORGET = [
  `UPDATE events SET tx = NULL, tx_snapshot = NULL WHERE tx IS NOT NULL`,
  `UPDATE webhook_circuits SET revision = pg_current_xact_id()::text::bigint`,
];

/**
 * A position in the log is a transaction of the server that wrote it. In a server that has begun fewer
 * of them, for example a new one that a dump was restored into, all restored events would seem to come
 * after the new ones, and clients that resume would be sent them again. There nothing can be resumed
 * from them: their positions are removed, before the first new event.
 * @returns whether there were such positions
 */
export async function forgetForeignPositions(runner: QueryRunner): Promise<boolean> {
  const [row] = (await runner.query(IS_FOREIGN)) as { isForeign: boolean }[];
  if (!row!.isForeign) return false;
  for (const statement of FORGET) await runner.query(statement);
  return true;
}

/**
 * Parts of statements that find rows by their key, whatever the statistics of the table say.
 *
 * Tables that work passes through are almost empty when they are analyzed. The planner would then join
 * them by reading them whole, also when they hold a backlog. A condition on a set of keys, or a
 * subquery that is planned separately (`OFFSET 0`), leaves only the index.
 */

/**
 * SQL: whether the key is in the set. The bounds select the partitions.
 * @param key column of a table, e.g. `d.id`
 * @param set a part of the same WITH, with a column of the same name
 */
export function keyIn(key: string, set: string): string {
  const column = key.slice(key.lastIndexOf('.') + 1);
  return `${key} = ANY (ARRAY(SELECT ${column} FROM ${set}))
    AND ${key} BETWEEN (SELECT min(${column}) FROM ${set}) AND (SELECT max(${column}) FROM ${set})`;
}

/**
 * SQL to join with: the row of a key, if there is one and it meets the conditions.
 * @param lock `FOR UPDATE`, or nothing
 */
export const rowOf = (table: string, columns: string, where: string, lock = ''): string =>
  `LATERAL (SELECT ${columns} FROM ${table} WHERE ${where} OFFSET 0 ${lock})`;

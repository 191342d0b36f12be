/**
 * Parts of statements that find rows by their key, whatever the planner thinks of the table.
 *
 * Tables that work passes through are all but empty whenever the product has caught up, and a join with
 * an empty table reads the whole of it: every backlog since then, for every statement, until the table
 * is analyzed again. A condition on a set of keys, or a subquery that is planned by itself (`OFFSET 0`),
 * leaves nothing but the index.
 */

/**
 * SQL: whether the key is one of the set's. The bounds say which partitions to look into.
 * @param key column of a table, e.g. `d.id`
 * @param set a part of the same WITH, with a column of the same name
 */
export function keyIn(key: string, set: string): string {
  const column = key.slice(key.lastIndexOf('.') + 1);
  return `${key} = ANY (ARRAY(SELECT ${column} FROM ${set}))
    AND ${key} BETWEEN (SELECT min(${column}) FROM ${set}) AND (SELECT max(${column}) FROM ${set})`;
}

/**
 * SQL to join with: the one row of a key, if there is one. Conditions that need not hold stand beside
 * the key.
 * @param lock `FOR UPDATE`, or nothing
 */
export const rowOf = (table: string, columns: string, where: string, lock = ''): string =>
  `LATERAL (SELECT ${columns} FROM ${table} WHERE ${where} OFFSET 0 ${lock})`;

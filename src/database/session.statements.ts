/**
 * The settings of our sessions. Roles, databases and servers may have others, which would change what
 * our statements mean or how they are planned: every connection sets ours.
 *
 * Not set: `search_path`, which says where the tables are, and `default_transaction_read_only`, with
 * which an operator keeps everyone from writing; we answer 503 then.
 */
const SETTINGS: Readonly<Record<string, string>> = {
  // How values are written, which the driver parses.
  DateStyle: 'ISO, MDY',
  TimeZone: 'UTC',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '1',
  standard_conforming_strings: 'on',
  array_nulls: 'on',
  // What a transaction sees, and how long it may take.
  default_transaction_isolation: 'read committed',
  default_transaction_deferrable: 'off',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '60s',
  idle_session_timeout: '0',
  transaction_timeout: '0',
  // Our statements find their rows by an index. PostgreSQL estimates millions of due rows over
  // partitions that were never analyzed, and would compile for them: 200-450 ms for a sweep that finds
  // nothing. Tables that work passes through are almost empty when they are analyzed, and contain a
  // backlog a minute later: each statement would then read or sort all of it.
  jit: 'off',
  enable_seqscan: 'off',
  enable_bitmapscan: 'off',
  enable_indexscan: 'on',
  enable_indexonlyscan: 'on',
  enable_nestloop: 'on',
  enable_partition_pruning: 'on',
  plan_cache_mode: 'auto',
};

/** With these the session starts; poolers know them and keep them per client. */
export const STARTUP_PARAMETERS: Readonly<Record<string, string>> = {
  client_encoding: 'UTF8',
  DateStyle: SETTINGS['DateStyle']!,
  TimeZone: SETTINGS['TimeZone']!,
  standard_conforming_strings: 'on',
};

/** The names in `options` of a connection, such as `-c jit=on --statement_timeout=5s`; in lower case. */
const namesIn = (options: string | undefined): Set<string> =>
  new Set(
    [...(options ?? '').matchAll(/(?:-c\s*|--)([\w.]+)=/g)].map(([, name]) => name!.toLowerCase()),
  );

function valuesOf(statementTimeoutMs: number, options: string | undefined): string {
  const given = namesIn(options);
  return Object.entries({ ...SETTINGS, statement_timeout: String(statementTimeoutMs) })
    .filter(([name]) => !given.has(name.toLowerCase()))
    .map(([name, value]) => `('${name}', '${value}')`)
    .join(', ');
}

/**
 * Sets the settings that this server knows, except those that `options` has set, in one statement;
 * returns the process that the server says it is. A role may have no schema to create tables in.
 */
export const sessionSetup = (statementTimeoutMs: number, options: string | undefined): string => `
  SELECT pg_backend_pid() AS pid, count(set_config(name, value, false))
    FROM (VALUES ${valuesOf(statementTimeoutMs, options)},
                 (CASE WHEN current_schema() IS NULL THEN 'search_path' ELSE 'array_nulls' END,
                  CASE WHEN current_schema() IS NULL THEN 'public' ELSE 'on' END)) AS s(name, value)
   WHERE current_setting(name, true) IS NOT NULL`;

/**
 * Stores the settings with the role, for this database: behind a pooler in transaction mode a session
 * is not ours to set.
 */
export const roleSetup = (statementTimeoutMs: number, options: string | undefined): string => `
  DO $$
  DECLARE wanted record;
  BEGIN
    FOR wanted IN SELECT name, value FROM (VALUES ${valuesOf(statementTimeoutMs, options)}) AS s(name, value)
              WHERE current_setting(name, true) IS NOT NULL
                AND NOT EXISTS (
                  SELECT 1 FROM pg_db_role_setting r, unnest(r.setconfig) AS c(setting)
                   WHERE r.setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
                     AND r.setrole = (SELECT oid FROM pg_roles WHERE rolname = current_user)
                     AND lower(c.setting) = lower(s.name || '=' || s.value)) LOOP
      EXECUTE format('ALTER ROLE CURRENT_USER IN DATABASE %I SET %I TO %L',
                     current_database(), wanted.name, wanted.value);
    END LOOP;
  END $$`;

/**
 * A statement that sees its own name. A pooler that follows prepared statements gives it another one
 * on each server connection; any other would mix up those of different clients.
 */
export const OWN_NAME = {
  name: 'tidings-own-name',
  text: `SELECT name FROM pg_prepared_statements WHERE statement LIKE '%/* own name */%' /* own name */`,
};

/**
 * Which of these backends work on a statement of ours, or have just ended one. A backend that waits for
 * us, or to be read by us, while we wait for its answer is behind a connection that is silent.
 */
export const WORKING_BACKENDS = `
  SELECT pid FROM pg_stat_activity
   WHERE pid = ANY ($1::int[])
     AND (state IN ('active', 'disabled') AND wait_event IS DISTINCT FROM 'ClientWrite'
          OR clock_timestamp() - state_change < interval '1 second')`;

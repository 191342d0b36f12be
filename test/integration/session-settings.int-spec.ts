import { randomUUID } from 'node:crypto';
import { DataSource } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dataSourceOptions } from '../../src/database/data-source.options.js';
import { migrateUnderLock } from '../../src/database/migrate.store.js';
import { PostgresClient } from '../../src/database/postgres.client.js';
import { createEmptyDatabase, type TestDatabase } from '../support/stores.js';

let database: TestDatabase;
const sources: DataSource[] = [];

beforeEach(async () => {
  database = await createEmptyDatabase();
});
afterEach(async () => {
  await Promise.all(sources.splice(0).map((source) => source.destroy()));
  await database.drop();
});

async function connect(url = database.url): Promise<DataSource> {
  const source = await new DataSource(dataSourceOptions({ url })).initialize();
  sources.push(source);
  return source;
}

/** Settings of a database that change how values are written, or how statements run. */
const SETTINGS: [name: string, value: string][] = [
  ['datestyle', 'SQL, DMY'],
  ['datestyle', 'German'],
  ['timezone', 'Asia/Kathmandu'],
  ['intervalstyle', 'iso_8601'],
  ['bytea_output', 'escape'],
  ['extra_float_digits', '-15'],
  ['standard_conforming_strings', 'off'],
  ['array_nulls', 'off'],
  ['client_encoding', 'LATIN1'],
  ['default_transaction_isolation', 'serializable'],
  ['default_transaction_deferrable', 'on'],
  ['lock_timeout', '1ms'],
  ['statement_timeout', '250ms'],
  ['idle_in_transaction_session_timeout', '1ms'],
  ['idle_session_timeout', '500ms'],
  ['jit', 'on'],
  ['enable_seqscan', 'on'],
  ['enable_indexscan', 'off'],
  ['plan_cache_mode', 'force_custom_plan'],
  ['search_path', ''],
];

const NAMES = [...new Set(SETTINGS.map(([name]) => name)), 'search_path'];

const settingsOf = async (source: DataSource): Promise<unknown> => {
  const values = NAMES.map((name) => `current_setting('${name}') AS "${name}"`).join(', ');
  const [row] = await source.query<Record<string, unknown>[]>(`SELECT ${values}`);
  return { ...row, search_path: undefined };
};

describe('a session', () => {
  it.each(SETTINGS)('is the same where the database has %s = %s', async (name, value) => {
    const before = await settingsOf(await connect());
    const admin = await connect();
    const quoted = value === '' ? "''" : value.includes(',') ? value : `'${value}'`;
    await admin.query(`ALTER DATABASE ${database.connection.database} SET ${name} TO ${quoted}`);
    const source = await connect();
    expect(await settingsOf(source)).toEqual(before);
    await migrateUnderLock(source);
    const text = `ünï ${randomUUID()} \\ ' €`;
    const [row] = await new PostgresClient(source).run<{ at: Date; text: string; ms: number }>(
      {
        name: 'values',
        text: `SELECT timestamptz '2026-02-03T04:05:06.789Z' AS at, $1::text AS text,
                      round(extract(epoch FROM timestamptz '2026-02-03T04:05:06.789Z') * 1000)::float8 AS ms`,
      },
      [text],
    );
    expect(row).toEqual({
      at: new Date('2026-02-03T04:05:06.789Z'),
      text,
      ms: Date.parse('2026-02-03T04:05:06.789Z'),
    });
  });

  it('has the settings that the URL gives', async () => {
    const url = new URL(database.url);
    url.searchParams.set('options', '-c statement_timeout=1234 --jit=on');
    const [row] = await (
      await connect(url.href)
    ).query<Record<string, string>[]>(
      `SELECT current_setting('statement_timeout') AS timeout, current_setting('jit') AS jit,
              current_setting('enable_seqscan') AS seqscan`,
    );
    expect(row).toEqual({ timeout: '1234ms', jit: 'on', seqscan: 'off' });
  });
});

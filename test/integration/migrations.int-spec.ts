import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { DataSource } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dataSourceOptions } from '../../src/database/data-source.options.js';
import { migrateUnderLock } from '../../src/database/migrate.store.js';
import { PostgresClient } from '../../src/database/postgres.client.js';
import { retentionOf } from '../support/retention-of.js';
import { schemaText } from '../support/schema-text.js';
import { createEmptyDatabase, type TestDatabase } from '../support/stores.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const TYPEORM = join(ROOT, 'node_modules/typeorm/cli.js');
const SCHEMA_FILE = fileURLToPath(new URL('../../src/database/schema.sql', import.meta.url));

let database: TestDatabase;
let dataSources: DataSource[];

beforeEach(async () => {
  database = await createEmptyDatabase();
  dataSources = [];
});

afterEach(async () => {
  await Promise.all(dataSources.map((dataSource) => dataSource.destroy()));
  await database.drop();
});

/** One process' connection to the database of the test. */
async function connect(): Promise<DataSource> {
  const dataSource = new DataSource(dataSourceOptions({ url: database.url }));
  dataSources.push(await dataSource.initialize());
  return dataSource;
}

async function undoAll(dataSource: DataSource): Promise<void> {
  for (const _ of dataSource.migrations) {
    await dataSource.undoLastMigration({ transaction: 'all' });
  }
}

/** A row in every table, as far as the table lets one in. */
async function fill(dataSource: DataSource): Promise<void> {
  const tables = await dataSource.query<{ name: string }[]>(
    `SELECT relname AS name FROM pg_class
      WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
        AND NOT relispartition AND relname NOT IN ('migrations', 'webhook_versions')`,
  );
  for (const { name } of tables) {
    const columns = await dataSource.query<{ name: string; value: string }[]>(
      `SELECT quote_ident(attname) AS name,
              CASE atttypid::regtype::text
                WHEN 'text' THEN '''evt_01''' WHEN 'text[]' THEN '''{a}''' WHEN 'boolean' THEN 'true'
                WHEN 'timestamp with time zone' THEN 'now()' WHEN 'jsonb' THEN '''{}''' ELSE '7' END AS value
         FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped`,
      [name],
    );
    const names = columns.map((column) => column.name).join(', ');
    const values = columns.map((column) => column.value).join(', ');
    await dataSource.query(
      `INSERT INTO "${name}" (${names}) VALUES (${values}) ON CONFLICT DO NOTHING`,
    );
  }
}

describe('the migrations', () => {
  it('make the schema that src/database/schema.sql shows', async () => {
    const dataSource = await connect();
    await migrateUnderLock(dataSource);
    await expect(await schemaText(dataSource)).toMatchFileSnapshot(SCHEMA_FILE);
  });

  it('make the tables that the entities describe', async () => {
    const dataSource = await connect();
    await migrateUnderLock(dataSource);
    const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
    expect(upQueries.map(({ query }) => query)).toEqual([]);
  });

  it('can be undone with rows in the tables, and made again', async () => {
    const dataSource = await connect();
    await migrateUnderLock(dataSource);
    const first = await schemaText(dataSource);
    await retentionOf(new PostgresClient(dataSource)).prepare(Date.now());
    await fill(dataSource);
    expect(first).toContain('CREATE TABLE events ');

    await undoAll(dataSource);
    expect(await schemaText(dataSource)).not.toContain('CREATE');

    await migrateUnderLock(dataSource);
    expect(await schemaText(dataSource)).toBe(first);
  });

  it('run once when several processes start on an empty database', async () => {
    const processes = await Promise.all([connect(), connect(), connect()]);
    await Promise.all(processes.map(migrateUnderLock));

    const [dataSource] = processes;
    const applied = await dataSource?.query<{ name: string }[]>('SELECT name FROM migrations');
    expect(applied).toHaveLength(dataSource?.migrations.length ?? 0);
  });

  it('leave a database alone that is up to date', async () => {
    const dataSource = await connect();
    await migrateUnderLock(dataSource);
    expect(await dataSource.runMigrations()).toEqual([]);
    expect(await dataSource.showMigrations()).toBe(false);
  });

  it('run and are undone from the command line with DATABASE_URL alone, which leaves no file', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'tidings-migrations-'));
    const command = (name: string) =>
      promisify(execFile)(
        process.execPath,
        [TYPEORM, name, '-d', join(ROOT, 'dist/ormconfig.js')],
        {
          cwd: directory,
          env: { NODE_ENV: 'production', DATABASE_URL: database.url },
        },
      );
    try {
      await command('migration:run');
      const dataSource = await connect();
      expect(await dataSource.showMigrations()).toBe(false);
      await fill(dataSource);
      for (const _ of dataSource.migrations) await command('migration:revert');
      expect(await schemaText(dataSource)).not.toContain('CREATE');
      expect(await readdir(directory)).toEqual([]);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  it('stay as they were released', () => {
    const git = (...args: string[]): string[] =>
      execFileSync('git', args, { cwd: ROOT, encoding: 'utf8' }).split('\n').filter(Boolean);
    const released = ['migrations', ':!migrations/index.ts'];
    for (const tag of git('tag')) {
      const changed = git('diff', '--name-only', '--diff-filter=a', tag, '--', ...released);
      expect({ tag, changed }).toEqual({ tag, changed: [] });
    }
  });
});

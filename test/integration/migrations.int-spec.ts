import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { DataSource } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dataSourceOptions } from '../../src/database/data-source.options.js';
import { migrateUnderLock } from '../../src/database/migrate.store.js';
import { schemaText } from '../support/schema-text.js';
import { createEmptyDatabase, type TestDatabase } from '../support/stores.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
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

  it('can be undone and made again', async () => {
    const dataSource = await connect();
    await migrateUnderLock(dataSource);
    const first = await schemaText(dataSource);
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

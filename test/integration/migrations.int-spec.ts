import { DataSource } from 'typeorm';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { dataSourceOptions } from '../../src/database/data-source.options.js';
import { migrateUnderLock } from '../../src/database/migrate.store.js';
import { createEmptyDatabase, type TestDatabase } from '../support/stores.js';

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

/** Everything that the catalogue lists but the list of migrations itself, so that schemas compare. */
async function schemaOf(dataSource: DataSource): Promise<string[]> {
  const rows = await dataSource.query<{ item: string }[]>(`
    SELECT format('%s.%s %s %s %s', table_name, column_name, data_type, is_nullable, column_default)
        AS item FROM information_schema.columns
      WHERE table_schema = 'public' AND table_name <> 'migrations'
    UNION ALL SELECT indexdef FROM pg_indexes
      WHERE schemaname = 'public' AND tablename <> 'migrations'
    UNION ALL SELECT pg_get_constraintdef(oid) FROM pg_constraint
      WHERE connamespace = 'public'::regnamespace AND conrelid <> 'migrations'::regclass
    UNION ALL SELECT pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    UNION ALL SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal
    ORDER BY item`);
  return rows.map(({ item }) => item);
}

async function undoAll(dataSource: DataSource): Promise<void> {
  for (const _ of dataSource.migrations) {
    await dataSource.undoLastMigration({ transaction: 'all' });
  }
}

describe('the migrations', () => {
  it('make the schema that the entities describe', async () => {
    const dataSource = await connect();
    await migrateUnderLock(dataSource);
    const { upQueries } = await dataSource.driver.createSchemaBuilder().log();
    expect(upQueries.map(({ query }) => query)).toEqual([]);
  });

  it('can be undone and made again', async () => {
    const dataSource = await connect();
    await migrateUnderLock(dataSource);
    const first = await schemaOf(dataSource);
    expect(first).not.toEqual([]);

    await undoAll(dataSource);
    expect(await schemaOf(dataSource)).toEqual([]);

    await migrateUnderLock(dataSource);
    expect(await schemaOf(dataSource)).toEqual(first);
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
});

import { join } from 'node:path';
import { DataSource } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { dataSourceOptions } from '../../src/database/data-source.options.js';
import { PostgresClient } from '../../src/database/postgres.client.js';
import { isStoreOutage } from '../../src/database/sql-errors.js';
import { createDatabase, type TestDatabase } from '../support/stores.js';
import { TcpProxy } from '../support/tcp-proxy.js';

const CONNECT_TIMEOUT_MS = 300;
const SILENT_MS = 500;

let database: TestDatabase;
let proxy: TcpProxy;
let dataSource: DataSource;
let postgres: PostgresClient;

beforeAll(async () => {
  database = await createDatabase();
});
afterAll(() => database.drop());

beforeEach(async () => {
  const { host, port, user, password, database: name } = database.connection;
  proxy = await TcpProxy.to(
    host.startsWith('/') ? { path: join(host, `.s.PGSQL.${port}`) } : { port },
  );
  const url = new URL(`postgres://${user}@127.0.0.1:${proxy.port}/${name}`);
  url.password = password ?? '';
  const options = dataSourceOptions({ url: url.href }) as ReturnType<typeof dataSourceOptions> & {
    extra: object;
  };
  dataSource = await new DataSource({
    ...options,
    poolSize: 2,
    connectTimeoutMS: CONNECT_TIMEOUT_MS,
    extra: { ...options.extra, enginePoolSize: 2, silentMs: SILENT_MS },
    logging: false,
    poolErrorHandler: () => undefined,
  } as ReturnType<typeof dataSourceOptions>).initialize();
  postgres = new PostgresClient(dataSource);
});
afterEach(async () => {
  if (dataSource.isInitialized) await dataSource.destroy();
  await proxy.close();
});

/** The error that this ends with. */
const errorOf = (action: Promise<unknown>): Promise<unknown> =>
  action.then(
    () => undefined,
    (error: unknown) => error,
  );

const run = (text: string, values: unknown[] = [], name = text): Promise<unknown> =>
  postgres.run({ name, text }, values);

/** Statements that wait in the server until they are cut. */
async function cutInFlight(act: (text: string) => Promise<unknown>): Promise<unknown> {
  const { reached } = proxy.hold({ marker: 'pg_sleep', what: 'request' });
  const failed = errorOf(act('SELECT pg_sleep(1)'));
  await reached;
  proxy.cut();
  return failed;
}

/** A statement that the server works on when its connection becomes silent. */
async function silenced(act: (text: string) => Promise<unknown>): Promise<unknown> {
  const hold = proxy.hold({ marker: 'pg_sleep', what: 'request' });
  const failed = errorOf(act('SELECT pg_sleep(0.2)'));
  await hold.reached;
  hold.release();
  proxy.silence();
  return failed;
}

/** Checks all connections out of the pool while this runs. */
async function withFullPool(act: () => Promise<unknown>): Promise<unknown> {
  const runners = [dataSource.createQueryRunner(), dataSource.createQueryRunner()];
  await Promise.all(runners.map((runner) => runner.connect()));
  const result = await act();
  await Promise.all(runners.map((runner) => runner.release()));
  return result;
}

const OUTAGES: [name: string, fail: () => Promise<unknown>][] = [
  ['a statement whose connection is cut', () => cutInFlight(run)],
  [
    'a query of TypeORM whose connection is cut',
    () => cutInFlight((text) => dataSource.query(text)),
  ],
  [
    'a further statement on a connection that was cut',
    async () => {
      const client = postgres.createClient();
      client.on('error', () => undefined);
      await client.connect();
      await cutInFlight((text) => client.query(text));
      return errorOf(client.query('SELECT 1'));
    },
  ],
  [
    'a statement on a connection that was ended',
    async () => {
      const client = postgres.createClient();
      await client.connect();
      await client.end();
      return errorOf(client.query('SELECT 1'));
    },
  ],
  [
    'no free connection in time',
    async () => {
      const taken = [1, 2].map((n) => run(`SELECT pg_sleep(2) AS n${n}`));
      const failed = await errorOf(run('SELECT 1'));
      await Promise.all(taken);
      return failed;
    },
  ],
  [
    'no free connection in time for TypeORM',
    () => withFullPool(() => errorOf(dataSource.query('SELECT 1'))),
  ],
  [
    'a statement on a connection that has become silent',
    async () => {
      await run('SELECT 1');
      proxy.silence();
      return errorOf(run('SELECT 1'));
    },
  ],
  ['a statement whose answer is lost in silence', () => silenced((text) => run(text))],
  [
    'a query of a transaction whose answer is lost in silence',
    () => silenced((text) => dataSource.transaction((manager) => manager.query(text))),
  ],
  [
    'a statement on a connection outside of the pools that has become silent',
    async () => {
      const client = postgres.createClient();
      client.on('error', () => undefined);
      await client.connect();
      proxy.silence();
      return errorOf(client.query('SELECT 1'));
    },
  ],
  [
    'a statement to a server that is silent to new connections too',
    async () => {
      await run('SELECT 1');
      proxy.silence({ andNew: true });
      return errorOf(run('SELECT 1'));
    },
  ],
  [
    'a server that accepts and does not answer',
    async () => {
      proxy.cut();
      proxy.hold({ marker: 'user', what: 'request' });
      return errorOf(run('SELECT 1'));
    },
  ],
  [
    'a server that closes the connection at once',
    async () => {
      const { reached } = proxy.hold({ marker: 'user', what: 'request' });
      proxy.cut();
      const client = postgres.createClient();
      const second = proxy.hold({ marker: 'user', what: 'request' });
      const failed = errorOf(client.connect());
      await Promise.race([reached, second.reached]);
      proxy.cut();
      return failed;
    },
  ],
  [
    'a server that is not there',
    async () => {
      await proxy.close();
      const failed = await errorOf(postgres.createClient().connect());
      proxy = await TcpProxy.to({ port: 1 });
      return failed;
    },
  ],
  [
    'a connection that the operator ends',
    () => errorOf(run('SELECT pg_terminate_backend(pg_backend_pid())')),
  ],
  [
    'a statement that takes too long',
    async () => {
      await using runner = dataSource.createQueryRunner();
      await runner.query(`SET statement_timeout = '20ms'`);
      return await errorOf(runner.query('SELECT pg_sleep(5)'));
    },
  ],
  [
    'a read-only server',
    async () => {
      await using runner = dataSource.createQueryRunner();
      await runner.query('SET default_transaction_read_only = on');
      return await errorOf(runner.query('CREATE TABLE t ()'));
    },
  ],
];

const OTHERS: [name: string, fail: () => Promise<unknown>][] = [
  ['a mistake in a statement', () => errorOf(run('SELEKT'))],
  ['a mistake in a query of TypeORM', () => errorOf(dataSource.query('SELEKT'))],
  [
    'words of an outage in an error of the server',
    () => errorOf(run(`SELECT 'connect timeout'::int`)),
  ],
  ['a value that is no parameter', () => errorOf(run('SELECT $1::text', [circular()]))],
  [
    'one name for two statements',
    () =>
      withOneClient(async (client) => {
        await client.query({ name: 'same', text: 'SELECT 1' });
        return errorOf(client.query({ name: 'same', text: 'SELECT 2' }));
      }),
  ],
  [
    'an error that only speaks of it',
    () => Promise.resolve(new Error('connection terminated by timeout')),
  ],
];

function circular(): unknown {
  const value: Record<string, unknown> = {};
  return (value['self'] = value);
}

async function withOneClient(
  act: (client: ReturnType<PostgresClient['createClient']>) => Promise<unknown>,
): Promise<unknown> {
  const client = postgres.createClient();
  await client.connect();
  try {
    return await act(client);
  } finally {
    await client.end();
  }
}

describe(isStoreOutage.name, () => {
  it.each(OUTAGES)('is true for %s', async (_, fail) => {
    const error = await fail();
    expect(error).toBeInstanceOf(Error);
    expect([String(error), isStoreOutage(error)]).toEqual([expect.any(String), true]);
  });

  it.each(OTHERS)('is false for %s', async (_, fail) => {
    const error = await fail();
    expect(error).toBeInstanceOf(Error);
    expect([String(error), isStoreOutage(error)]).toEqual([expect.any(String), false]);
  });

  it('is false for a statement that takes long, however long that is', async () => {
    const rows = await run(`SELECT pg_sleep(${(SILENT_MS * 6) / 1_000}) IS NOT NULL AS slept`);
    expect(rows).toEqual([{ slept: true }]);
  });

  it('all connections of a pool that are silent are replaced when one of them is found', async () => {
    await Promise.all([run('SELECT pg_sleep(0.1) AS a'), run('SELECT pg_sleep(0.1) AS b')]);
    proxy.silence();
    await errorOf(run('SELECT 1'));
    expect(await Promise.all([run('SELECT 1 AS one'), run('SELECT 1 AS one')])).toEqual([
      [{ one: 1 }],
      [{ one: 1 }],
    ]);
  });

  it('is true of any statement after an outage until the server is back', async () => {
    await cutInFlight(run);
    expect(await run('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });
});

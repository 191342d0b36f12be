import 'reflect-metadata';
import { DataSource } from 'typeorm';
import { loadDatabaseUrl } from './src/config/env.js';
import { dataSourceOptions } from './src/database/data-source.options.js';

/** For the TypeORM command line; it works on the database that DATABASE_URL names. */
export default new DataSource(
  dataSourceOptions({ url: loadDatabaseUrl() }, { statementTimeoutMs: 0 }),
);

import 'reflect-metadata';
import { DataSource } from 'typeorm';
import { loadConfig } from './src/config/env.js';
import { dataSourceOptions } from './src/database/data-source.options.js';

/** For the TypeORM command line; it works on the database that DATABASE_URL names. */
const { databaseUrl } = loadConfig();
if (!databaseUrl) throw new Error('Set DATABASE_URL: the embedded database migrates itself.');

export default new DataSource(dataSourceOptions({ url: databaseUrl }));

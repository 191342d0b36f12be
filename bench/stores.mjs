/**
 * PostgreSQL and Redis for one run: the product's embedded PostgreSQL with its normal settings and
 * durable commits, and a Redis without persistence; or those of BENCH_DATABASE_URL and BENCH_REDIS_URL.
 */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Redis } from 'ioredis';
import { Client } from 'pg';
import { nowUs } from './clock.mjs';
import { nameOf, parentOf } from './cpu.mjs';
import { findProgram, Program } from './processes.mjs';

const DATA_PREFIX = 'data-';
const START_MS = 10_000;
const END_MS = 5_000;
/** Another process may take a free port before Redis listens on it, so several are tried. */
const PORT_ATTEMPTS = 5;
const SYNC_SAMPLES = 50;
const PAGE_BYTES = 8192;

/**
 * @typedef {object} Store
 * @property {string} url
 * @property {string} version
 * @property {string} note other settings that affect the figures
 * @property {number | undefined} pid of the server, if it runs on this machine
 * @property {() => Promise<unknown>} stop
 * @property {Promise<unknown>} [failure]
 */

/**
 * @param {string} dist directory of the built product
 * @param {string} directory for data of runs
 * @returns {Promise<Store>}
 */
export async function startPostgres(dist, directory) {
  const given = process.env['BENCH_DATABASE_URL'];
  const { url, stop } = given ? await ownDatabase(given) : await embedded(dist, directory);
  const client = new Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query(
    `SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync,
            current_setting('synchronous_commit') AS commit, pg_backend_pid() AS pid`,
  );
  const [{ version, fsync, commit, pid }] = rows;
  const parent = parentOf(pid);
  await client.end();
  const note = `fsync ${fsync}, synchronous_commit ${commit}`;
  const isLocal = parent !== undefined && nameOf(parent) === 'postgres';
  return { url, stop, version, note, pid: isLocal ? parent : undefined };
}

/** @param {string} given a server whose user may create databases */
async function ownDatabase(given) {
  const name = `tidings_bench_${randomBytes(6).toString('hex')}`;
  /** @param {string} statement */
  const administer = async (statement) => {
    const client = new Client({ connectionString: given });
    await client.connect();
    try {
      await client.query(statement);
    } finally {
      await client.end();
    }
  };
  await administer(`CREATE DATABASE ${name}`);
  const url = new URL(given);
  url.pathname = `/${name}`;
  return {
    url: url.href,
    stop: () => administer(`DROP DATABASE IF EXISTS ${name} WITH (FORCE)`),
  };
}

/**
 * @param {string} dist
 * @param {string} directory
 */
async function embedded(dist, directory) {
  await removeLeftovers(directory);
  const dataDir = join(directory, `${DATA_PREFIX}${process.pid}`);
  const supervisor = join(dist, 'src/embedded-postgres/embedded-postgres.supervisor.js');
  const { startEmbeddedPostgres } = await import(pathToFileURL(supervisor).href);
  const remove = () => rm(dataDir, { recursive: true, force: true });
  try {
    const postgres = await startEmbeddedPostgres({ dataDir });
    const { host, port, user, database } = postgres.connection;
    return {
      // The URL needs a host; the parameter `host`, which has the socket, overrides it.
      url: `postgres://${user}@localhost:${port}/${database}?host=${encodeURIComponent(host)}`,
      stop: () => postgres.stop().then(remove),
    };
  } catch (error) {
    await remove();
    throw error;
  }
}

/**
 * Removes the data of runs that were killed.
 * @param {string} directory
 */
async function removeLeftovers(directory) {
  mkdirSync(directory, { recursive: true });
  for (const name of readdirSync(directory)) {
    if (!name.startsWith(DATA_PREFIX)) continue;
    if (isRunning(Number(name.slice(DATA_PREFIX.length)))) continue;
    await rm(join(directory, name), { recursive: true, force: true });
  }
}

/** @param {number} pid */
function isRunning(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return /** @type {NodeJS.ErrnoException} */ (error).code === 'EPERM';
  }
}

/** @returns {Promise<Store | undefined>} undefined if no Redis is installed */
export async function startRedis() {
  const given = process.env['BENCH_REDIS_URL'];
  if (given) return describeRedis(given, () => Promise.resolve());
  const program = findProgram(['redis-server', 'valkey-server']);
  if (!program) return undefined;
  for (let attempt = 1; ; attempt += 1) {
    const port = await freePort();
    const keepsNothing = ['--save', '', '--appendonly', 'no'];
    const args = ['--port', String(port), '--bind', '127.0.0.1', ...keepsNothing];
    const server = new Program('redis-server', program, args, { cwd: '/', endMs: END_MS });
    try {
      await server.line(/ready to accept connections/i, START_MS);
      const store = await describeRedis(`redis://127.0.0.1:${port}`, () => server.stop());
      return { ...store, failure: server.failure };
    } catch (error) {
      await server.stop();
      if (attempt === PORT_ATTEMPTS) throw error;
    }
  }
}

/**
 * @param {string} url
 * @param {() => Promise<unknown>} stop
 * @returns {Promise<Store>}
 */
async function describeRedis(url, stop) {
  const client = new Redis(url, { maxRetriesPerRequest: 1 });
  try {
    const keys = await client.dbsize();
    if (keys > 0)
      throw new Error(`The Redis of BENCH_REDIS_URL has ${keys} keys: use an empty one`);
    const info = await client.info('server');
    const pid = Number(/process_id:(\d+)/.exec(info)?.[1]);
    const isLocal = /^(redis|valkey)-/.test(nameOf(pid) ?? '');
    const version = /redis_version:(\S+)/.exec(info)?.[1] ?? '';
    return { url, stop, version, note: 'no persistence', pid: isLocal ? pid : undefined };
  } finally {
    client.disconnect();
  }
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
  server.close();
  await once(server, 'close');
  return port;
}

/**
 * How long the disk takes to make a page durable: the minimum cost of a commit. A few microseconds
 * mean that the disk does not make it durable.
 * @param {string} directory
 * @returns {Promise<number>} the median, in microseconds
 */
export async function diskSyncUs(directory) {
  mkdirSync(directory, { recursive: true });
  const path = join(directory, `sync-${process.pid}`);
  const file = await open(path, 'w');
  const samples = [];
  try {
    const bytes = Buffer.alloc(PAGE_BYTES, 1);
    for (let sample = 0; sample < SYNC_SAMPLES; sample += 1) {
      const startUs = nowUs();
      await file.write(bytes, 0, PAGE_BYTES, 0);
      await file.datasync();
      samples.push(nowUs() - startUs);
    }
  } finally {
    await file.close();
    await rm(path, { force: true });
  }
  return Math.round(samples.sort((a, b) => a - b)[SYNC_SAMPLES / 2] ?? 0);
}

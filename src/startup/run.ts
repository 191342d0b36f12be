import 'reflect-metadata';
import { ConfigError, type Config } from '../config/env.js';
import type { Timings } from '../config/timings.js';
import { EmbeddedPostgresError } from '../embedded-postgres/postgres-command.js';
import { startEmbeddedPostgres } from '../embedded-postgres/embedded-postgres.supervisor.js';
import { createApp } from '../http-app.js';
import { announce } from './announce.js';
import { ProductLogger } from './product-logger.js';
import { stopOnSignals } from './stop-on-signals.js';

/**
 * Connections that may wait to be accepted: all clients of a node that restarts reconnect at once.
 * Where the queue is full, clients try again after a second or more. The kernel may allow less
 * (`net.core.somaxconn`).
 */
const LISTEN_BACKLOG = 4_096;

/**
 * Starts the product, logs its address, and stops it in order on SIGTERM or SIGINT.
 * @param timings other than the product's own; tests pass short ones
 */
export async function run(config: Config, timings: Partial<Timings> = {}): Promise<void> {
  const logger = new ProductLogger(config);
  for (const line of config.warnings) logger.warn(line, 'Config');
  const embedded =
    config.databaseUrl === undefined
      ? await startEmbeddedPostgres({
          dataDir: config.dataDir,
          log: (line, level) => logger[level](line, 'PostgreSQL'),
        })
      : undefined;
  const connection = embedded?.connection ?? { url: config.databaseUrl! };
  try {
    const app = await createApp(config, connection, { timings });
    stopOnSignals(async () => {
      await app.close();
      await embedded?.stop();
    });
    await app.listen({ port: config.port, host: '0.0.0.0', backlog: LISTEN_BACKLOG });
    await announce(app, config);
  } catch (error) {
    await embedded?.stop();
    throw error;
  }
}

/** Ends a process that could not start. */
export function exitOnFailure(error: unknown): never {
  // The message of such an error says what the operator has to change; a stack would hide it.
  const isOperators = error instanceof ConfigError || error instanceof EmbeddedPostgresError;
  console.error(isOperators ? error.message : error);
  process.exit(1);
}

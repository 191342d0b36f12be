import 'reflect-metadata';
import { createApp } from './http-app.js';
import { ConfigError, loadConfig } from './config/env.js';
import { EmbeddedPostgresError } from './embedded-postgres/embedded-postgres-error.js';
import { startEmbeddedPostgres } from './embedded-postgres/embedded-postgres.supervisor.js';
import { announce } from './startup/announce.js';
import { ProductLogger } from './startup/product-logger.js';
import { stopOnSignals } from './startup/stop-on-signals.js';

/**
 * Connections that may wait to be accepted: a crowd that comes back at once. Where the queue is full,
 * clients try again after a second or more. The kernel may allow less (`net.core.somaxconn`).
 */
const LISTEN_BACKLOG = 4_096;

/** Starts what is configured, says where, and takes it down in order when it is told to. */
async function main(): Promise<void> {
  const config = loadConfig();
  const logger = new ProductLogger(config);
  const embedded =
    config.databaseUrl === undefined
      ? await startEmbeddedPostgres({
          dataDir: config.dataDir,
          log: (line, level) => logger[level](line, 'PostgreSQL'),
        })
      : undefined;
  const connection = embedded?.connection ?? { url: config.databaseUrl! };
  try {
    const app = await createApp(config, connection);
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

main().catch((error: unknown) => {
  // What is the user's to mend says how in its message; a stack would only hide it.
  const isUsers = error instanceof ConfigError || error instanceof EmbeddedPostgresError;
  console.error(isUsers ? error.message : error);
  process.exit(1);
});

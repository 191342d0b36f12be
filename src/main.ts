import 'reflect-metadata';
import { createApp } from './app.setup.js';
import { ConfigError, loadConfig } from './config/env.js';
import { startEmbeddedPostgres } from './database/embedded/embedded-postgres.supervisor.js';
import { announce } from './startup/announce.js';
import { stopOnSignals } from './startup/stop-on-signals.js';

/** Starts what is configured, says where, and takes it down in order when it is told to. */
async function main(): Promise<void> {
  const config = loadConfig();
  const embedded =
    config.databaseUrl === undefined ? await startEmbeddedPostgres(config) : undefined;
  const connection = embedded?.connection ?? { url: config.databaseUrl! };
  try {
    const app = await createApp(config, connection);
    stopOnSignals(async () => {
      await app.close();
      await embedded?.stop();
    });
    await app.listen(config.port, '0.0.0.0');
    await announce(app, config);
  } catch (error) {
    await embedded?.stop();
    throw error;
  }
}

main().catch((error: unknown) => {
  // A bad configuration is the user's to mend: names, no stack.
  const text = error instanceof ConfigError ? error.message : error;
  console.error(text);
  process.exit(1);
});

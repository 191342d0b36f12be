import 'reflect-metadata';
import { setTimeout as delay } from 'node:timers/promises';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { ConfigError, type Config } from '../config/env.js';
import { PRODUCTION_TIMINGS, type Timings } from '../config/timings.js';
import { DatabaseStartError } from '../database/database-start.js';
import { EmbeddedPostgresError } from '../embedded-postgres/postgres-command.js';
import {
  type EmbeddedPostgres,
  startEmbeddedPostgres,
} from '../embedded-postgres/embedded-postgres.supervisor.js';
import { Shutdown } from '../health/shutdown.service.js';
import { createApp } from '../http-app.js';
import { FailureRecord } from '../shared/log-failure.js';
import { announce } from './announce.js';
import { ProductLogger } from './product-logger.js';
import { listen } from './listen.js';
import { type StopSignal, stopOnSignals } from './stop-on-signals.js';

/**
 * Starts the product, logs its address, and stops it in order on SIGTERM or SIGINT.
 * @param timings other than the product's own; tests pass short ones
 */
export async function run(config: Config, timings: Partial<Timings> = {}): Promise<void> {
  const logger = new ProductLogger(config);
  for (const line of config.warnings) logger.warn(line, 'Config');
  const { shutdownDelayMs, shutdownMaxMs } = { ...PRODUCTION_TIMINGS, ...timings };
  let embedded: EmbeddedPostgres | undefined;
  let app: NestFastifyApplication | undefined;
  const stop = async (signal?: StopSignal) => {
    app?.get(Shutdown).begin();
    if (app && signal === 'SIGTERM' && isRouted(config)) await delay(shutdownDelayMs);
    await app?.close();
    await embedded?.stop();
  };
  // First: a signal may come, and a library may fail, while the application starts.
  stopOnSignals({ stop, maxMs: shutdownMaxMs, logger });
  try {
    if (config.databaseUrl === undefined) {
      embedded = await startEmbeddedPostgres({
        dataDir: config.dataDir,
        log: (line, level) => logger[level](line, 'PostgreSQL'),
      });
    }
    const connection = embedded?.connection ?? {
      url: config.databaseUrl!,
      directUrl: config.databaseDirectUrl,
    };
    app = await createApp(config, connection, { timings });
    await listen(app, config);
    await announce(app, config);
  } catch (error) {
    await embedded?.stop();
    throw error;
  }
}

/** Routers send requests to it, and need time to see that it is not ready; to a worker they send none. */
const isRouted = ({ roles }: Config): boolean => roles.has('api') || roles.has('realtime');

/** Ends a process that could not start. */
export function exitOnFailure(error: unknown): never {
  // The message of such an error says what the operator has to change; a stack would hide it.
  const isOperators =
    error instanceof ConfigError ||
    error instanceof EmbeddedPostgresError ||
    error instanceof DatabaseStartError;
  // Without the error's own fields, which may have a URL or a command with a password.
  console.error(
    isOperators
      ? error.message
      : new FailureRecord('the process cannot start', error, {}).toString(),
  );
  process.exit(1);
}

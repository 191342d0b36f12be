import { randomUUID } from 'node:crypto';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { AppOptions } from '../../src/app.module.js';
import { createApp } from '../../src/http-app.js';
import { type Config, loadConfig } from '../../src/config/env.js';
import { ApiClient } from './api-client.js';
import { createStartedDatabase, type TestDatabase } from './stores.js';
import { TEST_TIMINGS } from './timings.js';
import { adminToken, JWT_SECRET, tokenFor } from './tokens.js';
import { WebhookReceiver } from './webhook-receiver.js';

const SECRETS_KEY = Buffer.alloc(32, 7).toString('base64');

/** The environment of every process in the tests, with fast retries. */
export const environment = (database: TestDatabase, more: NodeJS.ProcessEnv = {}) => ({
  NODE_ENV: 'test',
  PORT: '0',
  DATABASE_URL: database.url,
  JWT_SECRET,
  SECRETS_KEY,
  OUTBOUND_ALLOW_CIDRS: '127.0.0.0/8',
  OUTBOUND_ALLOW_HTTP: 'true',
  DELIVERY_RETRY_SCHEDULE_MS: '50,50,50',
  LOG_LEVEL: 'fatal',
  ...more,
});

/**
 * The environment of a test: a database of its own, any number of applications on it (created as in
 * `main.ts`), and receivers. Stops and removes all of them.
 */
export class World {
  private readonly apps: NestFastifyApplication[] = [];
  private readonly receivers: WebhookReceiver[] = [];

  private constructor(readonly database: TestDatabase) {}

  static async create(): Promise<World> {
    return new World(await createStartedDatabase());
  }

  /**
   * Starts an application that listens on a free port.
   * @param options additional modules, and timings that differ from those of other tests
   */
  async start(
    env: NodeJS.ProcessEnv = {},
    { timings, modules = [] }: AppOptions = {},
  ): Promise<RunningApp> {
    const config = loadConfig(environment(this.database, env));
    const app = await createApp(
      config,
      { url: config.databaseUrl!, directUrl: config.databaseDirectUrl },
      { timings: { ...TEST_TIMINGS, ...timings }, modules },
    );
    this.apps.push(app);
    await app.listen(0, '127.0.0.1');
    const baseUrl = await app.getUrl();
    return { app, config, baseUrl, api: new ApiClient(baseUrl, adminToken()) };
  }

  async receiver(): Promise<WebhookReceiver> {
    const receiver = await WebhookReceiver.start();
    this.receivers.push(receiver);
    return receiver;
  }

  /** Stops the applications; the database and the receivers remain. */
  async stopApps(): Promise<void> {
    await Promise.all(this.apps.splice(0).map((app) => app.close()));
  }

  async stop(): Promise<void> {
    await this.stopApps();
    await Promise.all(this.receivers.splice(0).map((receiver) => receiver.close()));
    await this.database.drop();
  }
}

export interface RunningApp {
  app: NestFastifyApplication;
  config: Config;
  baseUrl: string;
  /** As an admin; `api.as(token)` for others. */
  api: ApiClient;
}

/**
 * The same application, but its `api` is that of a new owner. Tests that share an application do not
 * see events and webhooks of each other.
 */
export const forNewOwner = (app: RunningApp, owner = `owner-${randomUUID()}`): RunningApp => ({
  ...app,
  api: app.api.as(tokenFor(owner)),
});

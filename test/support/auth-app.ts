import { randomBytes } from 'node:crypto';
import { Controller, Get, Post } from '@nestjs/common';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { configureHttp } from '../../src/http-app.js';
import { AuthModule } from '../../src/auth/auth.module.js';
import { Authenticator } from '../../src/auth/authenticator.service.js';
import { CurrentPrincipal, Public } from '../../src/auth/auth.decorators.js';
import type { Principal } from '../../src/auth/principal.js';
import { Needs } from '../../src/http/api-route.decorator.js';
import { ConfigModule } from '../../src/config/config.module.js';
import { type Config, loadConfig } from '../../src/config/env.js';
import { DatabaseModule } from '../../src/database/database.module.js';
import { ALL_TEST_TIMINGS } from './timings.js';

/** Routes of each kind, which answer with the authenticated principal. */
@Controller()
class ProbeController {
  @Public()
  @Get('open')
  open() {
    return {};
  }

  @Needs('event-types:read')
  @Get('me')
  me(@CurrentPrincipal() { ownerId, roles, topics }: Principal) {
    return { ownerId, roles: [...roles], topics };
  }

  @Needs('events:publish')
  @Post('publish')
  publish() {
    return {};
  }

  @Needs('event-types:write')
  @Get('admin')
  admin() {
    return {};
  }

  @Get('undeclared')
  undeclared() {
    return {};
  }

  @Public()
  @Get('forgotten')
  forgotten(@CurrentPrincipal() { ownerId }: Principal) {
    return { ownerId };
  }
}

/** An answer as far as tests read it. */
export interface Answer {
  status: number;
  headers: Headers;
  // The tests check what they expect.
  body: Record<string, unknown>;
}

/** A real application over HTTP that has only authentication. */
export interface AuthApp {
  /** The base URL of its routes. */
  url: string;
  authenticator: Authenticator;
  call(
    method: string,
    path: string,
    headers?: Record<string, string>,
    body?: unknown,
  ): Promise<Answer>;
  close(): Promise<void>;
}

/** The configuration for an environment, e.g. `{ JWT_SECRET: … }`. */
export const configWith = (env: Record<string, string>): Config =>
  loadConfig({ SECRETS_KEY: randomBytes(32).toString('base64'), ...env });

/** Starts it. @param env the settings about tokens */
export async function startAuthApp(
  databaseUrl: string,
  env: Record<string, string>,
): Promise<AuthApp> {
  const testing = await Test.createTestingModule({
    imports: [
      ConfigModule.forRoot(configWith(env), ALL_TEST_TIMINGS),
      DatabaseModule.forRoot({ url: databaseUrl }, ALL_TEST_TIMINGS),
      AuthModule,
    ],
    controllers: [ProbeController],
  }).compile();
  const app = testing.createNestApplication<NestFastifyApplication>(new FastifyAdapter());
  configureHttp(app);
  await app.listen(0, '127.0.0.1');
  const url = `${await app.getUrl()}/api/v1`;
  return {
    url,
    authenticator: app.get(Authenticator),
    call: (method, path, headers, body) => call(`${url}/${path}`, method, headers, body),
    close: () => app.close(),
  };
}

async function call(
  url: string,
  method: string,
  headers?: Record<string, string>,
  body?: unknown,
): Promise<Answer> {
  const response = await fetch(url, {
    method,
    headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  return {
    status: response.status,
    headers: response.headers,
    body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>,
  };
}

/** The header of a bearer token. */
export const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

/** Seconds since 1970. */
export const seconds = (): number => Math.floor(Date.now() / 1000);

/** A whole second that is near, with at least 600 ms until then: the shortest life of a token. */
export const soon = (): number => Math.ceil(Date.now() / 1000 + 0.6);

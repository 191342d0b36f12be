import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { OpenAPIObject } from '@nestjs/swagger';
import { AppModule } from './app.module.js';
import { configureHttp } from './http-app.js';
import { loadConfig } from './config/env.js';
import { openApiDocument as documentOf } from './http/openapi.setup.js';

/** The document without starting anything: preview mode builds no provider and connects nowhere. */
export async function openApiDocument(): Promise<OpenAPIObject> {
  const config = loadConfig({
    NODE_ENV: 'production',
    DATABASE_URL: 'postgres://offline',
    JWT_SECRET: 'x'.repeat(32),
    SECRETS_KEY: Buffer.alloc(32).toString('base64'),
  });
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.forRoot(config, { url: 'postgres://offline' }),
    new FastifyAdapter(),
    { preview: true, abortOnError: false, logger: false },
  );
  configureHttp(app);
  return documentOf(app);
}

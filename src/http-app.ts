import type { ServerResponse } from 'node:http';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import { SwaggerModule } from '@nestjs/swagger';
import { AppModule, type AppOptions } from './app.module.js';
import type { Config } from './config/env.js';
import type { DatabaseConnection } from './database/data-source.options.js';
import { NotificationListener } from './database/notification.listener.js';
import { keepBodyText } from './http/body-text.decorator.js';
import { answerClientError } from './http/client-error.handler.js';
import { jsonBody } from './http/json-body.js';
import { openApiDocument } from './http/openapi.setup.js';
import { gracefulClose } from './http/graceful-close.js';
import { ProblemFilter, sendProblem } from './http/problem.filter.js';
import { frameworkProblem, problemHeaders } from './http/problem.js';
import { ValidationPipe } from './http/validation.pipe.js';
import { RealtimeAdapter } from './realtime/transports/socket-io/realtime.adapter.js';
import { ProductLogger } from './startup/product-logger.js';

/** The largest request: a batch of a thousand events of several kilobytes each. */
const MAX_BODY_BYTES = 8 * 1024 * 1024;
/** A request that has not arrived by then is cut off: slow senders keep connections open. */
const REQUEST_TIMEOUT_MS = 30_000;
/** Of one path segment: names of event types are longer than Fastify's default. */
const MAX_PARAM_LENGTH = 256;

/** Without the API's prefix: for orchestrators, for tools, and the request bin. */
const UNPREFIXED = ['health/live', 'health/ready', 'bin/:name', 'docs/asyncapi.json'];

/**
 * The application, ready to listen: the same for the product and for the end-to-end tests.
 */
export async function createApp(
  config: Config,
  connection: DatabaseConnection,
  options: AppOptions = {},
): Promise<NestFastifyApplication> {
  const app = await NestFactory.create<NestFastifyApplication>(
    AppModule.forRoot(config, connection, options),
    fastifyAdapter(),
    {
      logger: new ProductLogger(config),
      bodyParser: false,
      abortOnError: false,
    },
  );
  acceptJsonOnly(app);
  closeGracefully(app);
  configureHttp(app);
  if (config.roles.has('realtime')) app.useWebSocketAdapter(new RealtimeAdapter(app));
  if (config.roles.has('api')) serveDocs(app);
  else refuseApi(app, config);
  await app.init();
  await app.getHttpAdapter().getInstance().ready();
  // Last: by now all modules have registered their handlers.
  await app.get(NotificationListener).start();
  return app;
}

/** Prefix, validation and problems; also for the OpenAPI document alone. */
export function configureHttp(app: NestFastifyApplication): void {
  app.setGlobalPrefix('api/v1', { exclude: UNPREFIXED });
  app.useGlobalPipes(new ValidationPipe());
  app.useGlobalFilters(new ProblemFilter());
}

type FrameworkError = Error & { statusCode?: number };

function fastifyAdapter(): FastifyAdapter {
  return new FastifyAdapter({
    bodyLimit: MAX_BODY_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    // A request on a connection that is still open is answered; the connection ends after it.
    return503OnClosing: false,
    clientErrorHandler: answerClientError,
    // A path that cannot be decoded is refused before Nest's filters.
    frameworkErrors: (error: FrameworkError, _request: unknown, reply: { raw: ServerResponse }) => {
      const body = frameworkProblem(error.statusCode ?? 400, error.message);
      reply.raw.writeHead(body.status, problemHeaders(body)).end(JSON.stringify(body));
    },
  });
}

/** Fastify would also accept plain text, and replace bytes that are not UTF-8. */
function acceptJsonOnly(app: NestFastifyApplication): void {
  const fastify = app.getHttpAdapter().getInstance();
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser<Buffer>(
    'application/json',
    { parseAs: 'buffer' },
    (request, bytes, done) => {
      try {
        const { 'content-type': type, 'content-encoding': encoding } = request.headers;
        const body = jsonBody(bytes, type, encoding);
        keepBodyText(request, body?.text);
        done(null, body?.value);
      } catch (error) {
        done(error as Error);
      }
    },
  );
}

function closeGracefully(app: NestFastifyApplication): void {
  const close = gracefulClose(app.getHttpServer());
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('preClose', (done) => {
      close();
      done();
    });
}

function serveDocs(app: NestFastifyApplication): void {
  SwaggerModule.setup('docs', app, () => openApiDocument(app), {
    jsonDocumentUrl: 'docs/json',
    customSiteTitle: 'Tidings API',
    swaggerOptions: { persistAuthorization: true, displayRequestDuration: true },
  });
}

/** The one route of the API that belongs to the role `realtime`: it is a live connection. */
const EVENT_STREAM = /^\/api\/v1\/events\/stream(\?|$)/;

/** A process without the role `api` answers health checks, and event streams if it has `realtime`. */
function refuseApi(app: NestFastifyApplication, { roles }: Config): void {
  const problem = frameworkProblem(404, 'This process does not serve the API.');
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('onRequest', async (request, reply) => {
      if (!request.url.startsWith('/api/')) return;
      if (roles.has('realtime') && EVENT_STREAM.test(request.url)) return;
      await sendProblem(reply, problem);
    });
}

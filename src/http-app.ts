import { NestFactory, Reflector } from '@nestjs/core';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { type OpenAPIObject, SwaggerModule } from '@nestjs/swagger';
import { AppModule, type AppOptions } from './app.module.js';
import type { Config } from './config/env.js';
import type { DatabaseConnection } from './database/data-source.options.js';
import { NotificationListener } from './database/notification.listener.js';
import { fastifyAdapter } from './http/fastify.server.js';
import { openApiDocument } from './http/openapi.setup.js';
import { ProblemFilter, sendProblem } from './http/problem.filter.js';
import { frameworkProblem } from './http/problem.js';
import { RequestBodyGuard } from './http/request-body.guard.js';
import { DOCS_CONTENT_SECURITY_POLICY } from './http/security-headers.js';
import { ValidationPipe } from './http/validation.pipe.js';
import { RealtimeAdapter } from './realtime/transports/socket-io/realtime.adapter.js';
import { ProductLogger } from './startup/product-logger.js';

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
  configureHttp(app);
  app.useGlobalGuards(new RequestBodyGuard(app.get(Reflector)));
  if (config.roles.has('realtime')) app.useWebSocketAdapter(new RealtimeAdapter(app));
  if (config.roles.has('api')) serveDocs(app, config);
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

/** The document; in development, or where it is asked for, also as pages. */
function serveDocs(app: NestFastifyApplication, { swaggerUi }: Config): void {
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('onRequest', (request, reply, done) => {
      const { url = '' } = request.routeOptions;
      if (DOCS.test(url)) reply.header('content-security-policy', DOCS_CONTENT_SECURITY_POLICY);
      done();
    });
  SwaggerModule.setup('docs', app, () => openApiDocument(app), {
    ui: swaggerUi,
    raw: ['json'],
    jsonDocumentUrl: 'docs/json',
    customSiteTitle: 'Tidings API',
    patchDocumentOnRequest: servedBelowAnyPrefix,
    // Credentials do not stay in the browser when its page is closed.
    swaggerOptions: {
      persistAuthorization: false,
      displayRequestDuration: true,
      onComplete: nameDocument,
    },
  });
}

/**
 * A proxy may serve the product below a prefix that it does not name. So the server is given relative
 * to the document, which is at `/docs/json` (OpenAPI 3.1, 4.8.5).
 */
function servedBelowAnyPrefix(_request: unknown, _reply: unknown, document: OpenAPIObject) {
  return { ...document, servers: [{ url: '..', description: 'this server' }] };
}

/**
 * Runs in the page, which has the document without its URL and would take its own: `/docs`, `/docs/` or
 * `/docs/index.html`.
 */
function nameDocument(): void {
  const page = globalThis as unknown as {
    location: { pathname: string };
    ui: { specActions: { updateUrl(url: string): void } };
  };
  const path = page.location.pathname.replace(/\/docs(\/[^/]*)?$/, '/docs/json');
  page.ui.specActions.updateUrl(path);
}

/** The route of Swagger UI, and those of its files. */
const DOCS = /^\/docs(\/(?!json$|asyncapi\.json$)|$)/;

/** The one route of the API that belongs to the role `realtime`: it is a live connection. */
const EVENT_STREAM = '/api/v1/events/stream';

/**
 * A process without the role `api` answers health checks, and event streams if it has `realtime`. The
 * route that was found decides: one and the same can be written in many ways in a request.
 */
function refuseApi(app: NestFastifyApplication, { roles }: Config): void {
  const problem = frameworkProblem(404, 'This process does not serve the API.');
  app
    .getHttpAdapter()
    .getInstance()
    .addHook('onRequest', async (request, reply) => {
      const { url } = request.routeOptions;
      if (url === undefined || !url.startsWith('/api/')) return;
      if (roles.has('realtime') && url === EVENT_STREAM) return;
      await sendProblem(reply, problem);
    });
}

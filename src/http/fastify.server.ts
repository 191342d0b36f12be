import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { answerClientError } from './client-error.handler.js';
import { IncomingRequest } from './incoming.request.js';
import { OutgoingResponse } from './outgoing.response.js';
import { frameworkProblem, problemHeaders } from './problem.js';

/** A request that has not arrived by then is cut off: slow senders keep connections open. */
const REQUEST_TIMEOUT_MS = 30_000;
/** How often Node looks for such requests. */
const TIMEOUT_CHECK_MS = 5_000;
/** Of one path segment: names of event types are longer than Fastify's default. */
const MAX_PARAM_LENGTH = 256;

type FrameworkError = Error & { statusCode?: number };

/** The HTTP server, with the product's rules of what is refused before a route is found. */
export function fastifyAdapter(): FastifyAdapter {
  const adapter = new FastifyAdapter({
    requestTimeout: REQUEST_TIMEOUT_MS,
    http: {
      IncomingMessage: IncomingRequest,
      ServerResponse: OutgoingResponse as typeof ServerResponse,
      connectionsCheckingInterval: TIMEOUT_CHECK_MS,
    },
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
  leaveBodiesUnread(adapter);
  const { server } = adapter.getInstance();
  // All that fit into 16 KiB: Node would drop those behind a limit, and with them a credential, or what
  // says that a body follows.
  server.maxHeadersCount = 0;
  continueOnRead(server);
  return adapter;
}

/** Fastify would read and parse a body before the guards have run: `RequestBodyGuard` does it. */
function leaveBodiesUnread(adapter: FastifyAdapter): void {
  const fastify = adapter.getInstance();
  fastify.removeAllContentTypeParsers();
  fastify.addContentTypeParser('*', (_request, _body, done) => done(null));
}

/** A client that waits for `100 Continue` gets it when its body is read, and not before. */
function continueOnRead(server: Server): void {
  server.on('checkContinue', (request: IncomingMessage, response: ServerResponse) => {
    if (request instanceof IncomingRequest) {
      request.beforeRead = () => {
        if (!response.headersSent) response.writeContinue();
      };
    } else response.writeContinue();
    server.emit('request', request, response);
  });
}

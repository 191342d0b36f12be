import { type OutgoingHttpHeader, type OutgoingHttpHeaders, ServerResponse } from 'node:http';
import { announcesBody, IncomingRequest } from './incoming.request.js';
import { lingeringClose } from './lingering-close.js';
import { SECURITY_HEADERS } from './security-headers.js';

const HEADERS = Object.entries(SECURITY_HEADERS);

type Headers = OutgoingHttpHeaders | OutgoingHttpHeader[];

/**
 * The responses of the server, whichever code writes them: Nest, Fastify, Socket.IO or Node. Each has
 * the {@link SECURITY_HEADERS} and the id of its request. One that is sent before the body of its request has arrived, or after
 * which the requests that follow are lost, is the last one of its connection.
 */
export class OutgoingResponse extends ServerResponse {
  constructor(...given: ConstructorParameters<typeof ServerResponse>) {
    super(...given);
    for (const [name, value] of HEADERS) this.setHeader(name, value);
    const [request] = given;
    if (!(request instanceof IncomingRequest)) return;
    this.setHeader('x-request-id', request.requestId);
    if (request.ignoresOffer) readNoFurther(request);
  }

  override writeHead(status: number, message?: string | Headers, headers?: Headers): this {
    const { req: request } = this;
    const isUnread = !request.complete && announcesBody(request);
    if (isUnread || (request instanceof IncomingRequest && request.ignoresOffer)) {
      // Node closes the connection after such a response, and says so in it.
      this.shouldKeepAlive = false;
      const { socket } = request;
      socket.destroySoon = () => lingeringClose(socket);
    }
    return super.writeHead(status, message as string, headers);
  }
}

/** What comes later on the connection would be performed, and never answered. */
function readNoFurther(request: IncomingRequest): void {
  const stop = () => request.socket.pause();
  if (announcesBody(request)) request.once('end', stop);
  else process.nextTick(stop);
}

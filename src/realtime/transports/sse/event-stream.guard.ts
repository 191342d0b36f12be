import type { IncomingMessage, ServerResponse } from 'node:http';
import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { AuthenticatedRequest } from '../../../auth/auth.guard.js';
import type { Reply } from '../../../http/fastify-types.js';
import { AdmissionService } from '../../connections/admission.service.js';
import { eventStreamCredentials } from '../credentials.js';

/** How long a browser may cache the permission; none caches it for longer. */
const PREFLIGHT_MAX_AGE_S = 7_200;

/**
 * Checks the origin of a page and authenticates the client. The browser of a page on another host needs
 * CORS headers (Fetch 3.2): for the stream, for the problem of a refusal, and before a request that
 * has headers of the page's own. No other route of the API sends them.
 */
@Injectable()
export class EventStreamGuard implements CanActivate {
  constructor(private readonly admission: AdmissionService) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    const http = context.switchToHttp();
    const request = http.getRequest<AuthenticatedRequest & { raw: IncomingMessage }>();
    // Headers that are set on it come with any answer: the stream, or a problem.
    const { raw: response } = http.getResponse<Reply>();
    const { headers, method } = request.raw;
    response.setHeader('vary', 'Origin');
    this.admission.checkPage(request.raw);
    if (headers.origin !== undefined) permit(headers.origin, response);
    if (method === 'OPTIONS') answerPreflight(headers, response);
    else {
      const credentials = eventStreamCredentials(request.raw);
      request.principal = await this.admission.duringHandshake(
        this.admission.addressOf(request.raw),
        () => this.admission.principalOf(credentials),
      );
    }
    return true;
  }
}

function permit(origin: string, response: ServerResponse): void {
  response.setHeader('access-control-allow-origin', origin);
  response.setHeader('access-control-expose-headers', 'Retry-After');
}

/** Any headers: libraries and tracing add their own, and a stream changes nothing. */
function answerPreflight(headers: IncomingMessage['headers'], response: ServerResponse): void {
  response.setHeader('allow', 'GET, HEAD, OPTIONS');
  response.setHeader('access-control-allow-methods', 'GET, HEAD');
  response.setHeader('access-control-max-age', PREFLIGHT_MAX_AGE_S);
  const asked = headers['access-control-request-headers'];
  if (asked !== undefined) response.setHeader('access-control-allow-headers', asked);
}

import type { IncomingMessage, ServerResponse } from 'node:http';
import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import { Reflector } from '@nestjs/core';
import { keepBodyText } from './body-text.decorator.js';
import { DEFAULT_LIMITS, Limits } from './body-limit.decorator.js';
import { BodyReader } from './body.reader.js';
import { announcesBody } from './incoming.request.js';
import { requireJson } from './json-body.js';

interface Request {
  raw: IncomingMessage;
  body: unknown;
  /** Set by the guard that authenticates. */
  principal?: { ownerId: string };
}

/** Of callers without a credential: those of the request bin. */
const PUBLIC = '';

/**
 * Reads the body of a request after all other guards of the application have let it pass: what no route
 * takes, or comes without a credential, is refused unread. So it has to be the last global guard.
 */
@Injectable()
export class RequestBodyGuard implements CanActivate {
  private readonly reader = new BodyReader();

  constructor(private readonly reflector: Reflector) {}

  async canActivate(context: ExecutionContext): Promise<boolean> {
    if (context.getType() !== 'http') return true;
    const http = context.switchToHttp();
    const request = http.getRequest<Request>();
    const { raw, principal } = request;
    if (!announcesBody(raw) || raw.method === 'GET' || raw.method === 'HEAD') return true;
    const { 'content-type': type, 'content-encoding': encoding } = raw.headers;
    requireJson(type, encoding);
    const { raw: response } = http.getResponse<{ raw: ServerResponse }>();
    const body = await this.reader.read({
      request: raw,
      owner: principal?.ownerId ?? PUBLIC,
      limits: this.reflector.get(Limits, context.getHandler()) ?? DEFAULT_LIMITS,
      whenDone: (release) => {
        // The client may have gone while it was authenticated.
        if (response.closed) release();
        else response.once('close', release);
      },
    });
    request.body = body?.value;
    keepBodyText(request, body?.text);
    return true;
  }
}

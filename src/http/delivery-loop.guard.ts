import { type CanActivate, type ExecutionContext, Injectable } from '@nestjs/common';
import type { IncomingHttpHeaders } from 'node:http';
import { AppError } from '../shared/app-error.js';

const API = '/api/';

/** Every request to a webhook has it, and no webhook can set it. */
const DELIVERY_HEADER = 'tidings-delivery-id';

interface ApiRequest {
  method: string;
  headers: IncomingHttpHeaders;
  /** The route that was matched: the path as it was written may be escaped. */
  routeOptions: { url?: string };
}

/**
 * Refuses calls of the API that are deliveries: the URL of a webhook that leads back here would
 * otherwise send requests that send requests, e.g. by the route that tests the webhook. Reading is
 * harmless.
 */
@Injectable()
export class DeliveryLoopGuard implements CanActivate {
  canActivate(context: ExecutionContext): boolean {
    const { method, headers, routeOptions } = context.switchToHttp().getRequest<ApiRequest>();
    const isCall = method !== 'GET' && routeOptions.url?.startsWith(API) === true;
    if (!isCall || headers[DELIVERY_HEADER] === undefined) return true;
    const detail = 'This request is a delivery: a webhook must not lead back to the API.';
    throw new AppError('conflict', 'delivery_loop', detail);
  }
}

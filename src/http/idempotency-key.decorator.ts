import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { ApiHeader } from '@nestjs/swagger';
import { InvalidInputError } from '../shared/app-error.js';

interface RequestWithHeaders {
  headers: Record<string, string | string[] | undefined>;
  /** The request of `node:http` below Fastify's. */
  raw: { headersDistinct: Record<string, string[] | undefined> };
}

/** The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header), checked. */
export const IdempotencyKey = createParamDecorator(
  (_: undefined, context: ExecutionContext): string | undefined => {
    const { headers, raw } = context.switchToHttp().getRequest<RequestWithHeaders>();
    const key = headers['idempotency-key'];
    if (key === undefined) return undefined;
    if (typeof key !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(key) || key.trim() === '') {
      throw InvalidInputError.at('Idempotency-Key', 'must be 1 to 255 printable ASCII characters');
    }
    // Node joins repeated headers; a proxy may have read only one of them.
    if (raw.headersDistinct['idempotency-key']?.length !== 1) {
      throw InvalidInputError.at('Idempotency-Key', 'must be given once');
    }
    return key;
  },
);

/**
 * Documents the header.
 * @param effect what the same key and content do a second time, as the end of a sentence
 */
export const ApiIdempotencyKey = (effect: string): MethodDecorator =>
  ApiHeader({
    name: 'Idempotency-Key',
    required: false,
    description:
      `Makes it safe to send the request again: the same key and content ${effect} ` +
      '1 to 255 printable characters, per owner.',
    schema: { type: 'string', minLength: 1, maxLength: 255 },
  });

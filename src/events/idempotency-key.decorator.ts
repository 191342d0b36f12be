import { createParamDecorator, type ExecutionContext } from '@nestjs/common';
import { InvalidInputError } from '../common/app-error.js';

/** The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header), checked. */
export const IdempotencyKey = createParamDecorator(
  (_: undefined, context: ExecutionContext): string | undefined => {
    const { headers } = context
      .switchToHttp()
      .getRequest<{ headers: Record<string, string | string[] | undefined> }>();
    const key = headers['idempotency-key'];
    if (key === undefined) return undefined;
    if (typeof key !== 'string' || !/^[\x20-\x7e]{1,255}$/.test(key) || key.trim() === '') {
      throw InvalidInputError.at('Idempotency-Key', 'must be 1 to 255 printable ASCII characters');
    }
    return key;
  },
);

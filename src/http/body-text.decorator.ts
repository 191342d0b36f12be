import { createParamDecorator, type ExecutionContext } from '@nestjs/common';

const texts = new WeakMap<object, string>();

/** Keeps the text of a JSON body for as long as its request. */
export function keepBodyText(request: object, text: string | undefined): void {
  if (text !== undefined) texts.set(request, text);
}

/** The JSON text of the body, for what must be kept exactly as it was sent. */
export const BodyText = createParamDecorator((_: unknown, context: ExecutionContext): string => {
  const request = context.switchToHttp().getRequest<object>();
  return texts.get(request) ?? '';
});

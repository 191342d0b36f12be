/** The credentials in the headers of a request, or of the upgrade request of a WebSocket. */
import { AppError } from '../shared/app-error.js';
import { hasApiKeyScheme } from './api-key.js';

/** As the headers say; nothing in it is verified. */
export interface Credentials {
  /** The whole `Authorization` header, e.g. `Bearer eyJ…`. */
  authorization?: string;
  /** The `X-API-Key` header. */
  apiKey?: string;
}

/** The part of `IncomingMessage` that is read. */
export interface CredentialSource {
  headers: Readonly<Record<string, string | string[] | undefined>>;
  /** Names and values in turn, as they were received. */
  rawHeaders: readonly string[];
}

const HEADERS = ['authorization', 'x-api-key'];

/**
 * The credentials in the headers. Node keeps the first of two `Authorization` headers and a proxy
 * may have looked at the second, so a repeated one is refused rather than chosen from.
 *
 * @throws AppError `ambiguous_credentials`
 */
export function credentialsIn({ headers, rawHeaders }: CredentialSource): Credentials {
  const given = rawHeaders.filter(
    (name, index) => index % 2 === 0 && HEADERS.includes(name.toLowerCase()),
  );
  if (given.length > 1) {
    throw new AppError(
      'unauthenticated',
      'ambiguous_credentials',
      'Send one Authorization header or one X-API-Key header, not several.',
    );
  }
  const authorization = single(headers['authorization']);
  const bearer = authorization === undefined ? undefined : BEARER.exec(authorization)?.[1];
  if (bearer !== undefined && hasApiKeyScheme(bearer)) return { apiKey: bearer };
  return { authorization, apiKey: single(headers['x-api-key']) };
}

/** The scheme in any case (RFC 9110, 11.1). */
const BEARER = /^bearer +(\S.*)$/i;

/** The credential in a place that takes a token or an API key. */
export const credentialOf = (text: string): Credentials =>
  hasApiKeyScheme(text) ? { apiKey: text } : { authorization: `Bearer ${text}` };

const single = (value: string | string[] | undefined): string | undefined =>
  typeof value === 'string' ? value : undefined;

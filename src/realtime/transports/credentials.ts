/**
 * Where each transport finds the credential, and what the client chooses beside it. The credential is in a place of its own for clients that can set no headers
 * (pages of a browser), or else in the headers. The own place wins, because a proxy may have added an
 * `Authorization` header.
 */
import {
  type CredentialSource,
  credentialOf,
  type Credentials,
  credentialsIn,
} from '../../auth/credentials.js';
import { invalidToken } from '../../auth/jwt-rules.js';
import { AppError } from '../../shared/app-error.js';
import { connectionOptions, type ConnectionOptions } from '../connections/connection-options.js';

/** The part of Socket.IO's handshake that is read; nothing in it is verified. */
interface Handshake {
  /** What the client gave as `auth`. */
  auth: unknown;
  query: Readonly<Record<string, unknown>>;
}

/** Names of query parameters, in lower case, that look like credentials. */
const CREDENTIAL_PARAMETERS = new Set([
  'token',
  'access_token',
  'authorization',
  'apikey',
  'api_key',
  'x-api-key',
]);

/**
 * Socket.IO: `auth.token`, which every client can set and which takes an API key as well, or
 * `auth.apiKey`.
 *
 * @throws AppError `token_in_query`: addresses end up in access logs; `ambiguous_credentials`,
 * `invalid_token`
 */
export function socketIoCredentials(
  { auth, query }: Handshake,
  request: CredentialSource,
): Credentials {
  if (Object.keys(query).some((name) => CREDENTIAL_PARAMETERS.has(name.toLowerCase()))) {
    throw new AppError(
      'unauthenticated',
      'token_in_query',
      'A credential does not belong in the address. Send it as auth.token or in a header.',
    );
  }
  const given = typeof auth === 'object' && auth !== null ? auth : {};
  const token = ownText(given, 'token');
  const apiKey = ownText(given, 'apiKey');
  if (token !== undefined && apiKey !== undefined) throw several();
  if (apiKey !== undefined) return { apiKey };
  return token === undefined ? credentialsIn(request) : credentialOf(token);
}

/** Clients without the credential send undefined or null. */
function ownText(auth: object, name: 'token' | 'apiKey'): string | undefined {
  const value: unknown = name in auth ? (auth as Record<string, unknown>)[name] : undefined;
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw invalidToken(`auth.${name} is not text.`);
  return value;
}

/**
 * `auth.echo` and `auth.frames`.
 *
 * @throws InvalidInputError
 */
export function socketIoOptions({ auth }: Pick<Handshake, 'auth'>): ConnectionOptions {
  const given = typeof auth === 'object' && auth !== null ? (auth as Record<string, unknown>) : {};
  return connectionOptions({ echo: given['echo'], frames: given['frames'] });
}

/** The subprotocol that the server selects; the one after it is the token. */
const TOKEN_PROTOCOL = 'bearer';

/** The subprotocol of clients that want `frames=data`; selected before the other, because it is a format. */
const DATA_PROTOCOL = 'tidings.data';

/** @returns which of the offered subprotocols is selected; false: none */
export const selectedProtocol = (offered: ReadonlySet<string>): string | false =>
  [DATA_PROTOCOL, TOKEN_PROTOCOL].find((protocol) => offered.has(protocol)) ?? false;

/**
 * A plain WebSocket: the token as subprotocol (`Sec-WebSocket-Protocol: bearer, <token>`), which
 * browsers can send and no log contains, or `?token=`.
 *
 * @throws AppError `ambiguous_credentials`
 */
export const webSocketCredentials = (
  request: CredentialSource,
  query: URLSearchParams,
): Credentials =>
  ownTokenOr(request, [
    ...query.getAll('token'),
    ...tokensIn(request.headers['sec-websocket-protocol']),
  ]);

/**
 * What the query says of the connection: `echo` and `frames`, for which there is a subprotocol, too.
 *
 * @throws InvalidInputError
 */
export function webSocketOptions(
  { headers }: CredentialSource,
  query: URLSearchParams,
): ConnectionOptions {
  const [echo, frames] = ['echo', 'frames'].map((name) => {
    const values = query.getAll(name);
    return values.length > 1 ? values : values[0];
  });
  const options = connectionOptions({ echo, frames });
  const isData = protocolsIn(headers['sec-websocket-protocol']).includes(DATA_PROTOCOL);
  return isData ? { ...options, frames: 'data' } : options;
}

const protocolsIn = (header: string | string[] | undefined): string[] =>
  String(header ?? '')
    .split(',')
    .map((protocol) => protocol.trim());

function tokensIn(header: string | string[] | undefined): string[] {
  const protocols = protocolsIn(header);
  const at = protocols.indexOf(TOKEN_PROTOCOL);
  return at === -1 ? [] : [protocols[at + 1] ?? ''];
}

/** The part of `IncomingMessage` that is read. */
interface EventStreamRequest extends CredentialSource {
  url?: string | undefined;
}

/**
 * An event stream: `?token=`, because `EventSource` can send nothing else.
 *
 * @throws AppError `ambiguous_credentials`
 */
export function eventStreamCredentials(request: EventStreamRequest): Credentials {
  const [, ...search] = (request.url ?? '').split('?');
  return ownTokenOr(request, new URLSearchParams(search.join('?')).getAll('token'));
}

/** @param tokens all that were found in the own places of the transport */
function ownTokenOr(request: CredentialSource, tokens: readonly string[]): Credentials {
  if (tokens.length > 1) throw several();
  const [token] = tokens;
  return token === undefined ? credentialsIn(request) : credentialOf(token);
}

const several = (): AppError =>
  new AppError(
    'unauthenticated',
    'ambiguous_credentials',
    'Send one token or API key, in one place, not several.',
  );

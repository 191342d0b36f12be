/** Where the request for an event stream carries the credential. */
import type { CredentialSource, Credentials } from '../../../auth/credentials.js';
import { ownTokenOr } from '../../connections/own-token.js';

/** The part of `IncomingMessage` that is read. */
export interface EventStreamRequest extends CredentialSource {
  url?: string | undefined;
}

/**
 * `?token=`, because `EventSource` can send nothing else, or else the headers.
 *
 * @throws AppError `ambiguous_credentials`
 */
export function eventStreamCredentials(request: EventStreamRequest): Credentials {
  const [, ...search] = (request.url ?? '').split('?');
  return ownTokenOr(request, new URLSearchParams(search.join('?')).getAll('token'));
}

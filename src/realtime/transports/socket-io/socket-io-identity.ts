/** What a client of Socket.IO says of itself in its handshake, beside the credential. */
import { InvalidInputError } from '../../../shared/app-error.js';
import { type ClientIdentity, clientIdentity } from '../../connections/client-identity.js';

interface Handshake {
  /** What the client gave as `auth`. */
  auth: unknown;
  query: Readonly<Record<string, unknown>>;
}

/**
 * `auth.clientId` and `auth.replace`, or the query parameters of these names.
 *
 * @throws InvalidInputError
 */
export const socketIoIdentity = (handshake: Handshake): ClientIdentity =>
  clientIdentity({
    clientId: givenOnce(handshake, 'clientId'),
    replace: givenOnce(handshake, 'replace'),
  });

/**
 * Whether the events of a type with a channel come with a second argument, `{channel}`: `auth.channels`.
 * Handlers of some languages fail with more arguments than they name.
 */
export const namesChannels = ({ auth }: Handshake): boolean => member(auth, 'channels') === true;

function givenOnce({ auth, query }: Handshake, name: string): unknown {
  const [inAuth, inQuery] = [member(auth, name) ?? undefined, query[name]];
  if (inAuth !== undefined && inQuery !== undefined && inAuth !== inQuery) {
    throw InvalidInputError.at(name, 'differs between auth and the query');
  }
  return inAuth ?? inQuery;
}

const member = (value: unknown, name: string): unknown =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, name)
    ? (value as Record<string, unknown>)[name]
    : undefined;

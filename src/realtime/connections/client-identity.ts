/** The name that a client gives itself, and what it wants of other connections with it. */
import { z } from 'zod';
import { isGuestUser } from '../../auth/principal.js';
import { InvalidInputError } from '../../shared/app-error.js';
import { fieldErrors } from '../../shared/field-errors.js';
import { delimited, isId } from '../../shared/ids.js';
import { plainText } from '../../shared/zod-fields.js';

const MAX_CLIENT_ID_LENGTH = 128;

/** No id of a connection, and no user id of a guest: messages to those must reach nothing else. */
export const clientIdSchema = plainText(MAX_CLIENT_ID_LENGTH)
  .refine((id) => !isId('con', id), 'must not look like the id of a connection')
  .refine((id) => !isGuestUser(id), 'must not begin with guest:');

/** In a query it is text, in the handshake of Socket.IO mostly a boolean. */
const replaceSchema = z
  .union([z.boolean(), z.enum(['true', 'false', '1', '0', ''])], 'must be true or false')
  .transform((value) => value === true || value === 'true' || value === '1' || value === '');

const fields = z.object({
  clientId: clientIdSchema.optional(),
  replace: replaceSchema.optional(),
});

export interface ClientIdentity {
  clientId?: string | undefined;
  /** Whether the connection takes over from older ones of its user with this client id. */
  replaces: boolean;
}

/** As clients give it; nothing of it is checked. Null counts as absent. */
export interface GivenIdentity {
  clientId?: unknown;
  replace?: unknown;
}

/** @throws InvalidInputError that names `clientId` or `replace` */
export function clientIdentity(given: GivenIdentity): ClientIdentity {
  const { clientId, replace } = given;
  const parsed = fields.safeParse({
    clientId: clientId ?? undefined,
    replace: replace ?? undefined,
  });
  if (!parsed.success) throw new InvalidInputError(fieldErrors(parsed.error.issues));
  const replaces = parsed.data.replace === true;
  if (replaces && parsed.data.clientId === undefined) {
    throw InvalidInputError.at('replace', 'needs a clientId');
  }
  return { clientId: parsed.data.clientId, replaces };
}

/** From a query, in which a name may occur several times. @throws InvalidInputError */
export const identityIn = (query: URLSearchParams): GivenIdentity => ({
  clientId: onlyOne(query, 'clientId'),
  replace: onlyOne(query, 'replace'),
});

function onlyOne(query: URLSearchParams, name: string): string | undefined {
  const values = query.getAll(name);
  if (values.length > 1) throw InvalidInputError.at(name, 'must be given once');
  return values[0];
}

/** One text per client id of a tenant. */
export const clientKey = (ownerId: string, clientId: string): string =>
  `${delimited(ownerId)}:${clientId}`;

import { hash } from 'node:crypto';
import { AppError } from '../shared/app-error.js';
import {
  canSubscribe,
  isAdmin,
  knownRoles,
  PRINCIPAL_ROLES,
  type Principal,
  type PrincipalRole,
} from './principal.js';

/** What a new API key may do: never more than its creator, which may be an API key itself. */
export interface Grant {
  ownerId: string;
  roles: PrincipalRole[];
  /** Undefined: all that the owner may receive. */
  topics?: readonly string[];
}

/** The rights in the request; what is absent is taken from the creator. */
export type GrantRequest = Partial<Grant>;

/**
 * The rights of a new key. Absent roles are the creator's without `admin`, which has to be requested
 * by name; absent topics are the creator's.
 *
 * @throws AppError `forbidden` for anything that the creator does not have
 */
export function grant(creator: Principal, request: GrantRequest): Grant {
  const { ownerId = creator.ownerId, topics = creator.topics } = request;
  const roles = request.roles ?? grantable(creator).filter((role) => role !== 'admin');
  if (ownerId !== creator.ownerId && !isAdmin(creator)) {
    throw new AppError(
      'forbidden',
      'owner_not_yours',
      'Only an admin creates keys for other owners.',
    );
  }
  const excess = roles.find((role) => !grantable(creator).includes(role));
  if (excess) {
    throw new AppError(
      'forbidden',
      'role_not_yours',
      `You do not have the role ${excess} yourself.`,
    );
  }
  const foreign = topics?.find((topic) => !canSubscribe(creator, topic));
  if (foreign !== undefined) {
    throw new AppError(
      'forbidden',
      'topic_not_yours',
      `You may not receive the topic ${foreign} yourself.`,
    );
  }
  return { ownerId, roles: knownRoles(roles), topics };
}

const grantable = (creator: Principal): readonly PrincipalRole[] =>
  isAdmin(creator) ? PRINCIPAL_ROLES : [...creator.roles];

/**
 * API keys as text: `tdk_` and 32 random bytes. They are stored as SHA-256, without salt or
 * stretching: 256 random bits cannot be guessed or tabulated, and a slow hash would let every caller
 * make the server compute it.
 */

export const API_KEY_BYTES = 32;
const API_KEY = /^tdk_[A-Za-z0-9_-]{43}$/;

/** How much of a key lists show, to distinguish keys: the scheme and 24 of its 256 bits. */
const PREFIX_LENGTH = 8;

/** @param random {@link API_KEY_BYTES} unpredictable bytes */
export const apiKeyText = (random: Buffer): string => `tdk_${random.toString('base64url')}`;

export const isApiKey = (text: string): boolean => API_KEY.test(text);

/** What is stored and looked up instead of the key. */
export const apiKeyHash = (text: string): string => hash('sha256', text, 'hex');

export const apiKeyPrefix = (text: string): string => text.slice(0, PREFIX_LENGTH);

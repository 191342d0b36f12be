import { hash } from 'node:crypto';
import { AppError } from '../shared/app-error.js';
import {
  knownRoles,
  PRINCIPAL_ROLES,
  type PrincipalRole,
  reachesAllOwners,
} from '../shared/roles.js';
import { canSubscribe, ownerScope, type Principal } from './principal.js';

/** What a new API key may do: never more than its creator, which may be an API key itself. */
export interface Grant {
  ownerId: string;
  /** The user that callers with the key are, inside the tenant. */
  userId: string;
  roles: PrincipalRole[];
  /** Undefined: all that the owner may receive. */
  topics?: readonly string[];
  /** Undefined: until it is revoked. */
  expiresAt?: Date;
}

/** The rights in the request; what is absent is taken from the creator. */
export type GrantRequest = Partial<Grant>;

/**
 * The rights of a new key. Absent roles are the creator's without those that reach all owners, which
 * have to be requested by name; absent topics are the creator's. A key that is created with a key
 * ends with that one at the latest; one that is created with a token may outlive it, because tokens
 * are renewed.
 *
 * @throws AppError `forbidden` for anything that the creator does not have; names the field
 */
export function grant(creator: Principal, request: GrantRequest): Grant {
  const { ownerId = creator.ownerId, topics = creator.topics } = request;
  const roles = request.roles ?? ordinary(grantable(creator));
  if (ownerId !== creator.ownerId && ownerScope(creator, 'api-keys:manage') !== undefined) {
    throw excess('owner_not_yours', 'ownerId', 'Only an admin creates keys for other owners.');
  }
  const role = roles.findIndex((name) => !grantable(creator).includes(name));
  if (role !== -1) {
    const detail = `You do not have the role ${roles[role]} yourself.`;
    throw excess('role_not_yours', `roles[${role}]`, detail);
  }
  const topic = topics?.findIndex((name) => !canSubscribe(creator, name)) ?? -1;
  if (topic !== -1) {
    const detail = `You may not receive the topic ${topics?.[topic]} yourself.`;
    throw excess('topic_not_yours', `topics[${topic}]`, detail);
  }
  return {
    ownerId,
    userId: request.userId ?? ownerId,
    roles: knownRoles(roles),
    topics,
    expiresAt: endOf(creator, request),
  };
}

const grantable = ({ roles }: Principal): readonly PrincipalRole[] =>
  roles.has('admin') ? PRINCIPAL_ROLES : knownRoles([...roles]);

const ordinary = (roles: readonly PrincipalRole[]): PrincipalRole[] =>
  roles.filter((role) => !reachesAllOwners(role));

function endOf(
  { apiKeyId, expiresAtMs }: Principal,
  { expiresAt }: GrantRequest,
): Date | undefined {
  if (apiKeyId === undefined || expiresAtMs === undefined) return expiresAt;
  if (expiresAt && expiresAt.getTime() > expiresAtMs) {
    const detail = 'A key that is created with a key does not outlive it.';
    throw excess('expiry_not_yours', 'expiresAt', detail);
  }
  return expiresAt ?? new Date(expiresAtMs);
}

const excess = (code: string, field: string, detail: string): AppError =>
  new AppError('forbidden', code, detail, [{ field, message: detail }]);

/**
 * API keys as text: `tdk_` and 32 random bytes. They are stored as SHA-256, without salt or
 * stretching: 256 random bits cannot be guessed or tabulated, and a slow hash would let every caller
 * make the server compute it.
 */

export const API_KEY_BYTES = 32;
const SCHEME = 'tdk_';
const API_KEY = /^tdk_[A-Za-z0-9_-]{43}$/;

/** How much of a key lists show, to distinguish keys: the scheme and 24 of its 256 bits. */
const PREFIX_LENGTH = 8;

/** @param random {@link API_KEY_BYTES} unpredictable bytes */
export const apiKeyText = (random: Buffer): string => `${SCHEME}${random.toString('base64url')}`;

/** Whether it is meant as a key: no token begins like that. */
export const hasApiKeyScheme = (text: string): boolean => text.startsWith(SCHEME);

export const isApiKey = (text: string): boolean => API_KEY.test(text);

/** What is stored and looked up instead of the key. */
export const apiKeyHash = (text: string): string => hash('sha256', text, 'hex');

export const apiKeyPrefix = (text: string): string => text.slice(0, PREFIX_LENGTH);

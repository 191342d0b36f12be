/** Who is calling, as the verified token or API key says. */
import { AppError, InvalidInputError } from '../shared/app-error.js';
import type { Origin } from '../shared/audit.js';
import { delimited } from '../shared/ids.js';
import { type Ability, type CallerRole, ownersReached, rolesWith } from '../shared/roles.js';
import { mayReceive, PUBLIC_ONLY, type Viewer } from '../shared/visibility.js';
import type { OwnerFilter } from '../shared/zod-fields.js';

export interface Principal {
  /** The owner (tenant) whose events, webhooks and deliveries this caller works with. */
  ownerId: string;
  /** The person or service inside the tenant; the owner's id, where a credential names no user. */
  userId: string;
  roles: ReadonlySet<CallerRole>;
  /** Patterns of the events that it may receive; undefined: all that its owner may receive. */
  topics?: readonly string[];
  /** When the credential ends, in milliseconds since 1970; undefined: never. */
  expiresAtMs?: number;
  /** `key_…`: the API key that was presented; undefined: a token was. */
  apiKeyId?: string;
}

/** A caller that changes something, with what the audit log says of its request. */
export interface Actor extends Principal {
  /** Undefined: a module of the application asks, and no request. */
  origin?: Origin;
}

/** One text per user of a tenant: user ids are only unique inside their tenant. */
export const userKey = ({ ownerId, userId }: Pick<Principal, 'ownerId' | 'userId'>): string =>
  `${delimited(ownerId)}:${userId}`;

export const may = ({ roles }: Principal, ability: Ability): boolean =>
  ownersReached(roles, ability) !== undefined;

/** @throws AppError `role_required` if none of the caller's roles has the ability */
export function requireAbility(principal: Principal, ability: Ability): void {
  if (may(principal, ability)) return;
  const roles = rolesWith(ability);
  const detail =
    roles.length === 1
      ? `This needs the role ${roles[0]}.`
      : `This needs one of the roles ${roles.join(', ')}.`;
  throw new AppError('forbidden', 'role_required', detail);
}

/** The owner to restrict what is done with this ability to; undefined: it reaches all owners. */
export const ownerScope = ({ roles, ownerId }: Principal, ability: Ability): string | undefined =>
  ownersReached(roles, ability) === 'all' ? undefined : ownerId;

/**
 * The owner whose things a list has; undefined: those of all owners. The only place that knows what a
 * caller may name.
 *
 * @throws InvalidInputError for an owner that the ability does not reach, and for two owners
 */
export function ownerListed(
  principal: Principal,
  ability: Ability,
  { tenant, ownerId }: OwnerFilter,
): string | undefined {
  if (tenant !== undefined && ownerId !== undefined && tenant !== ownerId) {
    throw InvalidInputError.at('tenant', 'and ownerId are the same filter: name one owner');
  }
  const named = tenant ?? ownerId;
  const scope = ownerScope(principal, ability);
  if (scope !== undefined && named !== undefined && named !== scope) {
    const field = tenant === undefined ? 'ownerId' : 'tenant';
    throw InvalidInputError.at(field, 'must be your own: only an admin may name another');
  }
  return scope ?? named;
}

/** The caller as one that sees events. */
export const viewerOf = (principal: Principal): Viewer => ({
  ownerId: isGuest(principal) ? PUBLIC_ONLY : (ownerScope(principal, 'events:read') ?? null),
  topics: principal.topics,
});

const GUEST_PREFIX = 'guest:';

/** A live client without a credential: a user of its own, who exists as long as its connection. */
export const guestOf = (ownerId: string, connectionId: string): Principal => ({
  ownerId,
  userId: GUEST_PREFIX + connectionId,
  roles: new Set(['guest']),
});

export const isGuest = ({ roles }: Principal): boolean => roles.has('guest');

/** The connection that a guest is. */
export const connectionOfGuest = ({ userId }: Principal): string =>
  userId.slice(GUEST_PREFIX.length);

/** Whether the user id is one that a guest could have. */
export const isGuestUser = (userId: string): boolean => userId.startsWith(GUEST_PREFIX);

/**
 * Whose share of what is shared among owners the caller uses: all guests have one together, so that they
 * use up nothing of the users of their tenant.
 */
export const shareOf = (principal: Principal): string =>
  isGuest(principal) ? PUBLIC_ONLY : principal.ownerId;

/** Whether this caller may receive everything that the pattern selects, of the owners that it sees. */
export const canSubscribe = (principal: Principal, pattern: string): boolean =>
  mayReceive(principal, pattern);

/** What a new API key may do: never more than its creator, which may be an API key itself. */
import { AppError } from '../shared/app-error.js';
import {
  canSubscribe,
  isAdmin,
  knownRoles,
  PRINCIPAL_ROLES,
  type Principal,
  type PrincipalRole,
} from './principal.js';

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

/** What a new API key may do: never more than the one who makes it, who may be an API key itself. */
import { AppError } from '../shared/app-error.js';
import { knownRoles } from './known-roles.js';
import {
  isAdmin,
  canSubscribe,
  PRINCIPAL_ROLES,
  type Principal,
  type PrincipalRole,
} from './principal.js';

export interface Grant {
  ownerId: string;
  roles: PrincipalRole[];
  /** Undefined: all of what the owner may hear. */
  topics?: readonly string[];
}

/** What was asked for; what is left out is taken from the creator. */
export type GrantRequest = Partial<Grant>;

/**
 * The rights of a new key. Left out, roles are the creator's own without `admin`, which has to be
 * asked for by name, and topics are the creator's own.
 *
 * @throws AppError `forbidden` for anything that the creator does not have
 */
export function grant(creator: Principal, request: GrantRequest): Grant {
  const { ownerId = creator.ownerId, topics = creator.topics } = request;
  const roles = request.roles ?? grantable(creator).filter((role) => role !== 'admin');
  if (ownerId !== creator.ownerId && !isAdmin(creator)) {
    throw new AppError('forbidden', 'owner_not_yours', 'Only an admin makes keys for others.');
  }
  const excess = roles.find((role) => !grantable(creator).includes(role));
  if (excess) {
    throw new AppError('forbidden', 'role_not_yours', `You cannot give the role ${excess}.`);
  }
  const unheard = topics?.find((topic) => !canSubscribe(creator, topic));
  if (unheard !== undefined) {
    throw new AppError('forbidden', 'topic_not_yours', `You cannot give the topic ${unheard}.`);
  }
  return { ownerId, roles: knownRoles(roles), topics };
}

const grantable = (creator: Principal): readonly PrincipalRole[] =>
  isAdmin(creator) ? PRINCIPAL_ROLES : [...creator.roles];

/** Who is calling, as the verified token or API key says. */
import { covers } from '../shared/event-pattern.js';

/** `publisher` may publish; `admin` may do and see everything; everybody may listen to its own. */
export const PRINCIPAL_ROLES = ['admin', 'publisher', 'subscriber'] as const;
export type PrincipalRole = (typeof PRINCIPAL_ROLES)[number];

export interface Principal {
  /** The owner whose events, webhooks and deliveries this caller works with (`sub`). */
  ownerId: string;
  roles: ReadonlySet<PrincipalRole>;
  /** Patterns that it may listen to; undefined: all of what its owner may hear. */
  topics?: readonly string[];
  /** When the credential ends, in milliseconds since 1970; undefined: it does not. */
  expiresAtMs?: number;
}

export const isAdmin = (principal: Principal): boolean => principal.roles.has('admin');

/** The owner to restrict a query to; undefined for an admin, who sees everything. */
export const ownerScope = (principal: Principal): string | undefined =>
  isAdmin(principal) ? undefined : principal.ownerId;

/** Whether this caller may listen to everything that the pattern selects. */
export const mayHear = (principal: Principal, pattern: string): boolean =>
  isAdmin(principal) ||
  principal.topics === undefined ||
  principal.topics.some((topic) => covers(topic, pattern));

/** Who is calling, as the verified token or API key says. */
import { mayReceive, type Viewer } from '../shared/visibility.js';

/** `publisher` may publish; `admin` may do and see everything; each may receive its owner's events. */
export const PRINCIPAL_ROLES = ['admin', 'publisher', 'subscriber'] as const;
export type PrincipalRole = (typeof PRINCIPAL_ROLES)[number];

/**
 * The roles among these names, each once. They come from tokens and stored rows; roles of other
 * systems mean nothing here.
 */
export const knownRoles = (names: readonly unknown[]): PrincipalRole[] =>
  PRINCIPAL_ROLES.filter((role) => names.includes(role));

export interface Principal {
  /** The owner whose events, webhooks and deliveries this caller works with (`sub`). */
  ownerId: string;
  roles: ReadonlySet<PrincipalRole>;
  /** Patterns of the events that it may receive; undefined: all that its owner may receive. */
  topics?: readonly string[];
  /** When the credential ends, in milliseconds since 1970; undefined: never. */
  expiresAtMs?: number;
}

export const isAdmin = (principal: Principal): boolean => principal.roles.has('admin');

/** The owner to restrict a query to; undefined for an admin, who sees everything. */
export const ownerScope = (principal: Principal): string | undefined =>
  isAdmin(principal) ? undefined : principal.ownerId;

/** The caller as one that sees events: an admin sees as the operator does, whatever its topics. */
export const viewerOf = (principal: Principal): Viewer =>
  isAdmin(principal) ? { ownerId: null } : principal;

/** Whether this caller may subscribe to everything that the pattern selects. */
export const canSubscribe = (principal: Principal, pattern: string): boolean =>
  mayReceive(viewerOf(principal), pattern);

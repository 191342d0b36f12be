/** Role names from outside: of a token, of a stored row. */
import { PRINCIPAL_ROLES, type PrincipalRole } from './principal.js';

/** The roles among these that we know, each once. Other systems' roles in a token mean nothing here. */
export const knownRoles = (names: readonly unknown[]): PrincipalRole[] =>
  PRINCIPAL_ROLES.filter((role) => names.includes(role));

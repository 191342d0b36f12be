/**
 * What each role may do, and to whose things; the only place that knows this rule. A route names the
 * ability that it needs (`needs` of `ApiRoute`), a service asks for the owners that an ability reaches.
 */

/** Roles of tokens and API keys. */
export const PRINCIPAL_ROLES = [
  'admin',
  'operator',
  'manager',
  'publisher',
  'producer',
  'subscriber',
] as const;
export type PrincipalRole = (typeof PRINCIPAL_ROLES)[number];

/**
 * A role of callers: one of a credential, or `guest`, which is that of live clients without one. No token
 * and no API key can have it, because only {@link PRINCIPAL_ROLES} are read from them.
 */
export type CallerRole = PrincipalRole | 'guest';

/** What a caller may do. */
export type Ability =
  /** Publish events. */
  | 'events:publish'
  /** Read the event log. */
  | 'events:read'
  /** Open live connections, which receive events and messages. */
  | 'events:receive'
  /** Read the catalogue of event types. */
  | 'event-types:read'
  | 'event-types:write'
  | 'webhooks:read'
  /** Switch a webhook on and off, and nothing else of it. */
  | 'webhooks:switch'
  /** Register, change and delete webhooks, and see new secrets. */
  | 'webhooks:write'
  /** Read deliveries, attempts, dead letters, statistics and operations. */
  | 'deliveries:read'
  /** Send again, replay, cancel, test. */
  | 'deliveries:act'
  /** Create, list and revoke API keys. */
  | 'api-keys:manage'
  /** List live connections, end them, and send messages to all of them. */
  | 'connections:manage'
  /** Read who changed what. */
  | 'audit:read';

/** Whose things: those of the caller's own owner, those of all owners, or public ones only. */
export type OwnersReached = 'own' | 'all' | 'public';

interface Rights {
  owners: OwnersReached;
  abilities: readonly Ability[];
}

const RIGHTS: Readonly<Record<Exclude<CallerRole, 'admin'>, Rights>> = {
  operator: {
    owners: 'all',
    abilities: [
      'events:read',
      'events:receive',
      'event-types:read',
      'webhooks:read',
      'webhooks:switch',
      'deliveries:read',
      'deliveries:act',
      'connections:manage',
      'audit:read',
    ],
  },
  manager: {
    owners: 'own',
    abilities: [
      'events:read',
      'event-types:read',
      'webhooks:read',
      'webhooks:switch',
      'webhooks:write',
      'deliveries:read',
      'deliveries:act',
      'api-keys:manage',
      'audit:read',
    ],
  },
  publisher: { owners: 'own', abilities: ['events:publish', 'event-types:read'] },
  producer: { owners: 'all', abilities: ['events:publish'] },
  subscriber: { owners: 'own', abilities: ['events:read', 'events:receive', 'event-types:read'] },
  guest: { owners: 'public', abilities: ['events:receive'] },
};

/**
 * The roles among these names, each once. They come from tokens and stored rows; roles of other
 * systems mean nothing here.
 */
export const knownRoles = (names: readonly unknown[]): PrincipalRole[] =>
  PRINCIPAL_ROLES.filter((role) => names.includes(role));

/** The roles that have the ability, in the order of {@link PRINCIPAL_ROLES}. */
export const rolesWith = (ability: Ability): PrincipalRole[] =>
  PRINCIPAL_ROLES.filter((role) => role === 'admin' || RIGHTS[role].abilities.includes(ability));

/** Whether the role reaches the things of all owners. */
export const reachesAllOwners = (role: PrincipalRole): boolean =>
  role === 'admin' || RIGHTS[role].owners === 'all';

/** Of those roles, the ones with the ability; undefined: none. Rights of several roles never mix. */
export function ownersReached(
  roles: ReadonlySet<CallerRole>,
  ability: Ability,
): OwnersReached | undefined {
  const able = rolesWith(ability).filter((role) => roles.has(role));
  if (able.length > 0) return able.some(reachesAllOwners) ? 'all' : 'own';
  const { owners, abilities } = RIGHTS.guest;
  return roles.has('guest') && abilities.includes(ability) ? owners : undefined;
}

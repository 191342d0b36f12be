/**
 * The webhooks that an event is matched against, as scopes with a version each: those of its owner and
 * those of the operator, or all of them for a public event. A trigger gives a scope a new version when
 * one of its webhooks changes (`webhook_match_versions`), so a change concerns only the events that it
 * can concern.
 */
const OPERATOR = 'operator';
const ALL = 'all';

const scopeOf = (ownerId: string | null): string => (ownerId === null ? ALL : `owner:${ownerId}`);

/** The scopes of events of these owners. */
export function scopesOf(ownerIds: Iterable<string | null>): string[] {
  const scopes = new Set<string>([OPERATOR]);
  for (const ownerId of ownerIds) scopes.add(scopeOf(ownerId));
  return [...scopes];
}

/** Whether an event of this owner was matched against webhooks that have changed since. */
export const isOutdated = (ownerId: string | null, outdated: ReadonlySet<string>): boolean =>
  outdated.size > 0 && (outdated.has(OPERATOR) || outdated.has(scopeOf(ownerId)));

/** The same in SQL. @param outdated an array of scopes */
export const isOutdatedSql = (ownerId: string, outdated: string): string =>
  `('${OPERATOR}' = ANY (${outdated}) OR coalesce('owner:' || ${ownerId}, '${ALL}') = ANY (${outdated}))`;

/** The types of system events: what Tidings publishes about itself; delivered like any other. */
export const SYSTEM_EVENT_TYPES = [
  'client-connected',
  'client-disconnected',
  'message-broadcast',
  'server-status',
  'broadcast-stats',
  'webhook.disabled',
  'webhook.circuit_opened',
  'webhook.circuit_closed',
  'delivery.dead_lettered',
] as const;
export type SystemEventType = (typeof SYSTEM_EVENT_TYPES)[number];

const TYPES: ReadonlySet<string> = new Set(SYSTEM_EVENT_TYPES);

/**
 * Types that only the system may publish: those of system events, and those that are promised to become
 * ones, so that no receiver ever trusts a publisher's event of that name.
 */
const RESERVED: ReadonlySet<string> = new Set([
  ...SYSTEM_EVENT_TYPES,
  'topic-occupied',
  'topic-vacated',
]);
export const isReservedType = (type: string): boolean => RESERVED.has(type);

/** Failures to deliver such an event are not reported by further events, which would never end. */
export const isSystemEventType = (type: string): boolean => TYPES.has(type);

/**
 * Event types and the patterns that select them; the only place that knows this rule.
 *
 * A type is dotted (`trade.submitted`, `prediction_complete`). A pattern is an exact type, a type
 * ending in `.*` (everything below that prefix, at any depth, but not the prefix itself), or `*`.
 * `*` selects all types but those of system events: they have to be named, by their type or a
 * prefix, so that a subscriber can have all of the former without the latter.
 *
 * The rule is needed in three forms: for a pattern and a type ({@link matches}), as SQL
 * ({@link matchesSql}), and from the type to its patterns ({@link patternsOf}), which are the keys of
 * indexes and rooms; so the cost of matching follows from the type's depth and not from the number of
 * patterns. `test/integration/event-pattern.int-spec.ts` compares all users of the three.
 */
export const MAX_TYPE_LENGTH = 128;

/** Segments of letters, digits, `_` and `-`, joined by single dots. */
export const EVENT_TYPE = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$/;

/** An event type, a type followed by `.*`, or `*`. */
export const EVENT_PATTERN = /^(\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?)$/;

export const isEventType = (value: string): boolean =>
  value.length <= MAX_TYPE_LENGTH && EVENT_TYPE.test(value);

export const isEventPattern = (value: string): boolean =>
  value.length <= MAX_TYPE_LENGTH && EVENT_PATTERN.test(value);

/** Whether the pattern selects the type. */
export function matches(pattern: string, type: string): boolean {
  if (pattern === '*') return !isSystemEventType(type);
  if (pattern.endsWith('.*')) return type.startsWith(pattern.slice(0, -1));
  return pattern === type;
}

/** {@link matches} the other way round: every pattern that selects the type, most specific first. */
export function patternsOf(type: string): string[] {
  const patterns = [type];
  for (let dot = type.lastIndexOf('.'); dot > 0; dot = type.lastIndexOf('.', dot - 1)) {
    patterns.push(`${type.slice(0, dot)}.*`);
  }
  if (!isSystemEventType(type)) patterns.push('*');
  return patterns;
}

/** Whether everything that `inner` selects is also selected by `outer`. */
export function covers(outer: string, inner: string): boolean {
  if (outer === inner) return true;
  if (outer === '*') return !selectsSystemEvents(inner);
  if (inner === '*' || !outer.endsWith('.*')) return false;
  return inner.startsWith(outer.slice(0, -1));
}

/** Whether the pattern selects events that the system publishes about itself. */
export const selectsSystemEvents = (pattern: string): boolean =>
  SYSTEM_EVENT_TYPES.some((type) => matches(pattern, type));

const SYSTEM_TYPES = SYSTEM_EVENT_TYPES.map((type) => `'${type}'`).join(', ');

/** SQL: whether the type is not one of a system event. */
export const isOrdinarySql = (type: string): string => `${type} <> ALL (ARRAY[${SYSTEM_TYPES}])`;

/**
 * {@link matches} in SQL, for two expressions of type `text`. With a constant pattern the planner
 * reduces it to the one comparison that is needed.
 */
export const matchesSql = (pattern: string, type: string): string =>
  `(${pattern} = ${type}` +
  ` OR ${pattern} = '*' AND ${isOrdinarySql(type)}` +
  ` OR right(${pattern}, 2) = '.*' AND starts_with(${type}, left(${pattern}, -1)))`;

/** SQL: whether one of the patterns, an expression of type `text[]`, selects the type. */
export const matchesAnySql = (patterns: string, type: string): string =>
  `EXISTS (SELECT 1 FROM unnest(${patterns}) AS pattern WHERE ${matchesSql('pattern', type)})`;

import { isSystemEventType } from './system-event-types.js';

/**
 * Event types and the patterns that select them.
 *
 * A type is dotted (`trade.submitted`, `prediction_complete`). A pattern is an exact type, a type
 * ending in `.*` (everything below that prefix, at any depth, but not the prefix itself), or `*`.
 * Matching asks the other way round: {@link patternsOf} lists the few patterns that can match a
 * type, and those are looked up, so the cost depends on the type's depth and never on how many
 * patterns are registered.
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

/**
 * Every pattern that a subscription to this type can have, most specific first. `*` subscribes to
 * everything that is published; what the system tells about itself has to be named, or nobody could
 * have all of the former without the latter.
 */
export function patternsOf(type: string): string[] {
  const patterns = [type];
  for (let dot = type.lastIndexOf('.'); dot > 0; dot = type.lastIndexOf('.', dot - 1)) {
    patterns.push(`${type.slice(0, dot)}.*`);
  }
  if (!isSystemEventType(type)) patterns.push('*');
  return patterns;
}

/** Whether the pattern selects the type. */
export function matches(pattern: string, type: string): boolean {
  if (pattern === '*') return true;
  if (pattern.endsWith('.*')) return type.startsWith(pattern.slice(0, -1));
  return pattern === type;
}

/** Whether everything that `inner` selects is also selected by `outer`. */
export function covers(outer: string, inner: string): boolean {
  if (outer === '*' || outer === inner) return true;
  if (inner === '*' || !outer.endsWith('.*')) return false;
  return inner.startsWith(outer.slice(0, -1));
}

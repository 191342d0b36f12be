import { type FieldError, readable } from './app-error.js';

/** A validation issue as zod and every Standard Schema reports it. */
export interface Issue {
  path?: readonly (PropertyKey | { key: PropertyKey })[] | undefined;
  message: string;
  /** Names of unknown members, which zod reports on the object around them. */
  keys?: readonly string[];
}

/** More are not reported: one request could hold a million. */
const MAX_ERRORS = 20;

/** What is wrong, by field, as a problem answers it: `events[3].type`. */
export function fieldErrors(issues: readonly Issue[]): FieldError[] {
  return issues.slice(0, MAX_ERRORS).flatMap(errorsOf).slice(0, MAX_ERRORS);
}

function errorsOf({ path = [], message, keys }: Issue): FieldError[] {
  const field = fieldName(path.map((part) => (typeof part === 'object' ? part.key : part)));
  if (!keys) return [{ field: field === '' ? '(body)' : field, message }];
  return keys
    .slice(0, MAX_ERRORS)
    .map((key) => ({ field: fieldName([field, key]), message: 'is not a known field' }));
}

/** @param path names and indexes, outermost first */
export function fieldName(path: readonly PropertyKey[]): string {
  let name = '';
  for (const part of path) {
    if (typeof part === 'number') name += `[${part}]`;
    else name += name === '' ? readable(String(part)) : `.${readable(String(part))}`;
  }
  return name;
}

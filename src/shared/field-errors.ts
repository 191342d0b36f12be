import { type FieldError, readable } from './app-error.js';

/** A validation issue as zod and every Standard Schema reports it. */
export interface Issue extends Partial<Expectation> {
  path?: readonly (PropertyKey | { key: PropertyKey })[] | undefined;
  message: string;
  /** Names of unknown members, which zod reports on the object around them. */
  keys?: readonly string[];
}

/** What zod expected; a message of its own repeats it in the words of the library. */
interface Expectation {
  code: string;
  expected: string;
  /** The kind of value whose size is wrong. */
  origin: string;
  minimum: number | bigint;
  maximum: number | bigint;
  inclusive: boolean;
  exact: boolean;
  values: readonly unknown[];
}

/** More are not reported: one request could hold a million. */
const MAX_ERRORS = 20;

/** What is wrong, by field, as a problem answers it: `events[3].type`. */
export function fieldErrors(issues: readonly Issue[]): FieldError[] {
  return issues.slice(0, MAX_ERRORS).flatMap(errorsOf).slice(0, MAX_ERRORS);
}

function errorsOf(issue: Issue): FieldError[] {
  const { path = [], keys } = issue;
  const field = fieldName(path.map((part) => (typeof part === 'object' ? part.key : part)));
  if (!keys) return [{ field: field === '' ? '(body)' : field, message: messageOf(issue) }];
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

/** Messages of zod itself; ours begin with a small letter. */
const LIBRARY_MESSAGE = /^(Invalid|Too small|Too big|Unrecognized)/;

const KINDS: Record<string, string> = {
  string: 'a string',
  number: 'a number',
  int: 'a whole number',
  boolean: 'true or false',
  array: 'an array',
  object: 'an object',
  record: 'an object',
};

function messageOf(issue: Issue): string {
  const { message, code, expected = '', values = [] } = issue;
  if (!LIBRARY_MESSAGE.test(message)) return message;
  if (message.endsWith('received undefined')) return 'is required';
  switch (code) {
    case 'invalid_type':
      return `must be ${KINDS[expected] ?? expected}`;
    case 'invalid_value':
      return `must be ${values.length > 1 ? 'one of ' : ''}${values.map(String).join(', ')}`;
    case 'too_small':
    case 'too_big':
      return sizeMessage(issue);
    default:
      return 'is not acceptable here';
  }
}

function sizeMessage({ origin = '', exact, inclusive, minimum, maximum }: Issue): string {
  const bound = String(minimum ?? maximum);
  const isText = origin === 'string';
  if (isText || origin === 'array') {
    const relation = exact ? 'exactly' : minimum === undefined ? 'at most' : 'at least';
    return `must have ${relation} ${bound} ${isText ? 'characters' : 'entries'}`;
  }
  if (inclusive) return `must be at ${minimum === undefined ? 'most' : 'least'} ${bound}`;
  return `must be ${minimum === undefined ? 'less' : 'more'} than ${bound}`;
}

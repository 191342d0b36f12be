/**
 * Whether a parsed JSON value will reach every receiver unchanged.
 *
 * I-JSON (RFC 7493) is the line: a number beyond ±(2^53-1), or one that overflows to infinity, was
 * already changed by parsing it; a lone surrogate is no Unicode and NUL is refused by most stores.
 * Such input is refused, naming the field, instead of being delivered as something else.
 */
export interface JsonProblem {
  path: (string | number)[];
  message: string;
}

export const MAX_JSON_DEPTH = 64;

/** The first problem in the value, or undefined. The limit on depth bounds the recursion, too. */
export function jsonProblem(
  root: unknown,
  maxDepth: number = MAX_JSON_DEPTH,
): JsonProblem | undefined {
  const path: (string | number)[] = [];
  const message = firstProblem(root, path, maxDepth);
  return message === undefined ? undefined : { path, message };
}

/** Walks without allocating per member: a body of megabytes has millions of them. */
function firstProblem(
  value: unknown,
  path: (string | number)[],
  maxDepth: number,
): string | undefined {
  if (typeof value !== 'object' || value === null) return scalarProblem(value);
  if (path.length >= maxDepth) return `is nested deeper than ${maxDepth} levels`;
  if (Array.isArray(value)) {
    for (let index = 0; index < value.length; index++) {
      path.push(index);
      const problem = firstProblem(value[index], path, maxDepth);
      if (problem !== undefined) return problem;
      path.pop();
    }
    return undefined;
  }
  if (!isPlain(value)) return 'is not a JSON value';
  for (const key of Object.keys(value)) {
    const keyProblem = textProblem(key);
    if (keyProblem !== undefined) return `has a member whose name ${keyProblem}`;
    path.push(key);
    const problem = firstProblem((value as Record<string, unknown>)[key], path, maxDepth);
    if (problem !== undefined) return problem;
    path.pop();
  }
  return undefined;
}

function scalarProblem(value: unknown): string | undefined {
  switch (typeof value) {
    case 'string':
      return textProblem(value);
    case 'number':
      return numberProblem(value);
    case 'boolean':
    case 'object':
      return undefined;
    default:
      return 'is not a JSON value';
  }
}

function textProblem(text: string): string | undefined {
  if (text.includes('\u0000')) return 'contains NUL';
  return text.isWellFormed() ? undefined : 'contains a lone surrogate';
}

function numberProblem(value: number): string | undefined {
  if (!Number.isFinite(value)) return 'is a number that JSON cannot carry';
  if (Number.isInteger(value) && !Number.isSafeInteger(value)) {
    return 'is beyond ±(2^53-1), where numbers lose digits: send it as a string (RFC 7493)';
  }
  return undefined;
}

/** Only what JSON.parse makes: a Date, a Map or a class would be sent as something else. */
function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

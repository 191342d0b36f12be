/**
 * Whether a parsed JSON value will reach every receiver as it was meant.
 *
 * I-JSON (RFC 7493) is the line: a number beyond ±(2^53-1), or one that overflows to infinity, was
 * already changed by parsing it; a lone surrogate is no Unicode and NUL is refused by most stores.
 * Such input is refused with its place, instead of being delivered as something else.
 */
export interface JsonProblem {
  path: (string | number)[];
  message: string;
}

export const MAX_JSON_DEPTH = 64;

/** The first problem in the value, or undefined. Keeps its own stack: depth cannot exhaust ours. */
export function jsonProblem(root: unknown): JsonProblem | undefined {
  const stack: { value: unknown; path: PathNode | undefined; depth: number }[] = [
    { value: root, path: undefined, depth: 1 },
  ];
  for (let entry = stack.pop(); entry; entry = stack.pop()) {
    const { value, path, depth } = entry;
    const message = problemOf(value, depth);
    if (message !== undefined) return { path: unrolled(path), message };
    if (typeof value !== 'object' || value === null) continue;
    if (Array.isArray(value)) {
      for (let key = value.length - 1; key >= 0; key--) {
        stack.push({ value: value[key], path: { key, parent: path }, depth: depth + 1 });
      }
      continue;
    }
    for (const [key, child] of Object.entries(value)) {
      const keyProblem = textProblem(key);
      if (keyProblem !== undefined) {
        return { path: unrolled(path), message: `has a member whose name ${keyProblem}` };
      }
      stack.push({ value: child, path: { key, parent: path }, depth: depth + 1 });
    }
  }
  return undefined;
}

interface PathNode {
  key: string | number;
  parent: PathNode | undefined;
}

function problemOf(value: unknown, depth: number): string | undefined {
  switch (typeof value) {
    case 'string':
      return textProblem(value);
    case 'number':
      return numberProblem(value);
    case 'object':
      if (value === null) return undefined;
      if (depth > MAX_JSON_DEPTH) return `is nested deeper than ${MAX_JSON_DEPTH} levels`;
      return isPlain(value) ? undefined : 'is not a JSON value';
    case 'boolean':
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
  if (Array.isArray(value)) return true;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

function unrolled(node: PathNode | undefined): (string | number)[] {
  const path: (string | number)[] = [];
  for (let at = node; at; at = at.parent) path.unshift(at.key);
  return path;
}

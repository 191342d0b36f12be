/**
 * What is checked of a JSON Schema before it is compiled: its size, and that each reference leads to a
 * schema and not back to itself. Compiling a list of alternatives takes time by the square of its
 * length, and a schema that refers to itself for the same value would be checked without end.
 */
import type { Issue } from '../shared/field-errors.js';

/** A node of a schema that is an object: a sub-schema, or a map of them. */
type Node = Record<string, unknown>;

/** Objects in a schema. Compiling so many takes about 0.2 s. */
export const MAX_SUBSCHEMAS = 1_000;
/** Entries of one `oneOf`, `anyOf`, `allOf` or `prefixItems`. */
export const MAX_ALTERNATIVES = 500;

const LISTS = new Set(['allOf', 'anyOf', 'oneOf', 'prefixItems']);
/** Keywords that apply a sub-schema to the very value that the schema around it is applied to. */
const IN_PLACE = new Set(['allOf', 'anyOf', 'oneOf', 'not', 'if', 'then', 'else']);
const REFERENCES = ['$ref', '$dynamicRef'] as const;
/** Their values are data: what looks like a schema in them is none. */
const DATA = new Set(['const', 'enum', 'default', 'examples']);

interface Place {
  node: Node;
  path: PropertyKey[];
  /** The schema that `#` means: the nearest one around it with an `$id` of its own. */
  root: Node;
}

/** The first thing that is wrong, as a list of at most one issue. The schema may be malformed otherwise. */
export function structureIssues(schema: Node): Issue[] {
  const places: Place[] = [];
  const issue = collect(schema, { path: [], root: schema }, places) ?? referenceIssue(places);
  return issue ? [issue] : [];
}

/** Fills in `places`; the depth has been limited before. */
function collect(
  value: unknown,
  { path, root }: Pick<Place, 'path' | 'root'>,
  places: Place[],
): Issue | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  if (Array.isArray(value)) {
    return firstOf(value.entries(), ([index, item]) =>
      collect(item, { path: [...path, index], root }, places),
    );
  }
  const node = value as Node;
  const ownRoot = typeof node['$id'] === 'string' ? node : root;
  places.push({ node, path, root: ownRoot });
  if (places.length > MAX_SUBSCHEMAS) {
    return { path, message: `is one sub-schema too many: there may be ${MAX_SUBSCHEMAS}` };
  }
  return firstOf(Object.entries(node), ([key, member]) => {
    if (DATA.has(key)) return undefined;
    const below = [...path, key];
    if (LISTS.has(key) && Array.isArray(member) && member.length > MAX_ALTERNATIVES) {
      return { path: below, message: `must have at most ${MAX_ALTERNATIVES} entries` };
    }
    return collect(member, { path: below, root: ownRoot }, places);
  });
}

function firstOf<T>(items: Iterable<T>, issueOf: (item: T) => Issue | undefined) {
  for (const item of items) {
    const issue = issueOf(item);
    if (issue) return issue;
  }
  return undefined;
}

function referenceIssue(places: readonly Place[]): Issue | undefined {
  const anchors = anchorsOf(places);
  const targets = new Map<Node, Node[]>();
  for (const { node, path, root } of places) {
    const inPlace = inPlaceSchemas(node);
    for (const keyword of REFERENCES) {
      const reference = node[keyword];
      if (typeof reference !== 'string' || !reference.startsWith('#')) continue;
      const target = resolved(reference, root, anchors);
      if (!isSchema(target)) {
        const message = 'refers to something that is not in this schema; nothing is fetched';
        return { path: [...path, keyword], message };
      }
      if (typeof target === 'object') inPlace.push(target);
    }
    targets.set(node, inPlace);
  }
  return endlessIssue(places, targets);
}

const isSchema = (value: unknown): value is Node | boolean =>
  typeof value === 'boolean' ||
  (typeof value === 'object' && value !== null && !Array.isArray(value));

/** A name that occurs under several roots stands for the first: it only has to exist. */
function anchorsOf(places: readonly Place[]): Map<string, Node> {
  const anchors = new Map<string, Node>();
  for (const { node } of places) {
    for (const keyword of ['$anchor', '$dynamicAnchor']) {
      const name = node[keyword];
      if (typeof name === 'string' && !anchors.has(name)) anchors.set(name, node);
    }
  }
  return anchors;
}

function inPlaceSchemas(node: Node): Node[] {
  const dependent = node['dependentSchemas'];
  return Object.entries(node)
    .filter(([key]) => IN_PLACE.has(key))
    .flatMap(([, value]) => value)
    .concat(isSchema(dependent) ? Object.values(dependent) : [])
    .filter((value): value is Node => typeof value === 'object' && isSchema(value));
}

/** What a reference within the schema leads to: an anchor, or a JSON pointer (RFC 6901) of own members. */
function resolved(reference: string, root: Node, anchors: ReadonlyMap<string, Node>): unknown {
  const fragment = unescaped(reference.slice(1));
  if (fragment === undefined) return undefined;
  if (fragment === '') return root;
  if (!fragment.startsWith('/')) return anchors.get(fragment);
  let value: unknown = root;
  for (const part of fragment.slice(1).split('/')) {
    const name = part.replaceAll('~1', '/').replaceAll('~0', '~');
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) {
      return undefined;
    }
    value = (value as Node)[name];
  }
  return value;
}

function unescaped(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** Finds a schema that is applied to the same value again before it is done with it. */
function endlessIssue(
  places: readonly Place[],
  targets: ReadonlyMap<Node, readonly Node[]>,
): Issue | undefined {
  const done = new Set<Node>();
  const open = new Set<Node>();
  const isEndless = (node: Node): boolean => {
    if (done.has(node)) return false;
    if (open.has(node)) return true;
    open.add(node);
    const found = (targets.get(node) ?? []).some(isEndless);
    open.delete(node);
    done.add(node);
    return found;
  };
  const place = places.find(({ node }) => isEndless(node));
  return place && { path: place.path, message: 'refers to itself without end' };
}

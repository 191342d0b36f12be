const FILE = '_FILE';

/** What Kubernetes sets for each service in a namespace, such as one with the name `redis`. */
const OF_KUBERNETES = /_(SERVICE_(HOST|PORT(_.+)?)|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)$/;

/** One letter away from a setting, and common. */
const COMMON = new Set(['PORTS', 'HOSTS', 'HOSTNAME']);

/** More changed letters than that make another word; in a short one, more than one. */
const MAX_TYPOS = 2;

/**
 * A line for each variable that looks like a setting of ours and is none: it begins like one, or is a
 * few letters away from one. Only names: a value may be a secret.
 */
export function unknownSettings(source: NodeJS.ProcessEnv, keys: readonly string[]): string[] {
  const prefixes = prefixesOf(keys);
  return Object.keys(source).flatMap((name) => {
    const upper = name.toUpperCase();
    const key = upper.endsWith(FILE) ? upper.slice(0, -FILE.length) : upper;
    if (name === upper && keys.includes(key)) return [];
    if (OF_KUBERNETES.test(key)) return [];
    const [nearest, typos] = nearestTo(key, keys);
    const isOurs = prefixes.some((prefix) => key.startsWith(prefix));
    if (!isOurs && typos > (key.includes('_') ? MAX_TYPOS : 1)) return [];
    // Of other programs, which call their port or address so.
    if (!isOurs && COMMON.has(key)) return [];
    const suggestion = upper.endsWith(FILE) ? `${nearest}${FILE}` : nearest;
    return [`${name} is not a setting and has no effect. Did you mean ${suggestion}?`];
  });
}

/** First words of our keys, e.g. `DELIVERY_`. `NODE_` belongs to Node. */
const prefixesOf = (keys: readonly string[]): string[] =>
  keys
    .filter((key) => key.includes('_') && key !== 'NODE_ENV')
    .map((key) => `${key.split('_', 1)[0]}_`);

function nearestTo(key: string, keys: readonly string[]): [nearest: string, typos: number] {
  const distances = keys.map((known): [string, number] => [known, distance(key, known)]);
  return distances.reduce((best, other) => (other[1] < best[1] ? other : best));
}

/** Levenshtein: letters to insert, remove or replace. */
function distance(one: string, other: string): number {
  let previous = Array.from({ length: other.length + 1 }, (_, index) => index);
  for (let row = 1; row <= one.length; row++) {
    const current = [row];
    for (let column = 1; column <= other.length; column++) {
      const change = one[row - 1] === other[column - 1] ? 0 : 1;
      current.push(
        Math.min(previous[column]! + 1, current[column - 1]! + 1, previous[column - 1]! + change),
      );
    }
    previous = current;
  }
  return previous.at(-1)!;
}

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, it } from 'vitest';

const { scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  scripts: Record<string, string>;
};
const documents = [
  'README.md',
  ...readdirSync('docs', { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => join('docs', name)),
];

const LIFECYCLE = ['start', 'test'];

/** Every capture of a pattern, once. */
function found(text: string, pattern: RegExp): string[] {
  return [...new Set([...text.matchAll(pattern)].map((match) => match[1] ?? ''))];
}

describe.each(documents)('%s', (document) => {
  const text = readFileSync(document, 'utf8');

  it('names only scripts that exist', () => {
    const named = [
      ...found(text, /\bnpm run (?:--?\S+ )*([\w:-]+)/g),
      ...LIFECYCLE.filter((name) => new RegExp(`\\bnpm ${name}\\b`).test(text)),
    ];
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });

  it('links only to files that exist', () => {
    const targets = found(text, /\]\((?!https?:|mailto:|#)([^)\s#]+)[^)]*\)/g);
    expect(targets.filter((target) => !existsSync(join(dirname(document), target)))).toEqual([]);
  });

  it('names only source files that exist', () => {
    const paths = found(
      text,
      /`((?:src|test|bench|scripts|migrations|docs|deploy|\.ci)\/[\w./-]+\w\/?)`/g,
    );
    expect(paths.filter((path) => !existsSync(path))).toEqual([]);
  });
});

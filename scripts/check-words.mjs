/**
 * Checks the vocabulary of docs/glossary.md: lists every place with a word that is not used.
 *
 *   npm run words                        all files of the repository
 *   npm run words -- src/delivery docs   only these files and directories
 *   npm run words -- - < text            the standard input
 *
 * Reads comments, names, SQL, log texts and documents alike, and the names of files.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Also found as a part of camelCase, PascalCase, snake_case, SNAKE_CASE and kebab-case names. */
const WORDS = [
  'whoever whomever whosever nobody somebody anybody everybody',
  'held unheld owe owes owed owing lane lanes laned',
  'tell tells telling teller told untold hear hears heard hearing unheard audible inaudible',
  'farewell patience patiently impatience breath breaths',
  'landmark landmarks straggler stragglers suspect suspects doubt doubts unserved',
].flatMap((line) => line.split(' '));

/** Words with a common meaning too: only these uses of them are refused. */
const PHRASES = [
  /\bno one\b/,
  // To release a lease or to return a permit.
  /\bgiv(?:es?|en|ing)(?: \w+)? back\b|\bgave(?: \w+)? back\b|[gG]iveBack|[pP]utBack/,
  // A queue.
  /\b(?:stand|wait)(?:s|ing)? in (?:the |its |a )?line\b|[sS]tandInLine|[lL]ineLength|\bLinePull\b|[lL]ineOrder|line-order/,
  // Capacity and slots.
  /\b(?:has|have|had|makes?|enough|free) (?:no )?room\b|\broom for\b|\b(?:roomFor|hasRoom|freeRoom)\b/,
  /\b(?:placesOf|hasPlace|freePlaces?)\b|\b(?:no|free) places?\b/,
];

/** Names that are not ours: what `message-broadcast` events say to their receivers, and a Unix user. */
const QUOTED = /'everybody'|(?:'|user )nobody\b/g;
/** Files that quote the words. */
const EXCEPT =
  /^(docs\/glossary\.md|scripts\/check-words\.mjs|test\/contract\/words\.spec\.ts|CHANGELOG\.md)$/;
const READ =
  /\.(ts|mts|cts|mjs|js|sql|md|ya?ml|sh|example|html)$|(^|\/)(Dockerfile|\.env\.example|\.ci\/run|\.oxlintrc\.json)$/;

const pattern = new RegExp(
  [
    `(?<![a-z])(?:${WORDS.join('|')})(?![a-z])`,
    `(?:${WORDS.map((word) => word[0].toUpperCase() + word.slice(1)).join('|')})(?![a-z])`,
    `(?<![A-Z])(?:${WORDS.join('|').toUpperCase()})(?![A-Z])`,
    ...PHRASES.map(({ source }) => source),
  ].join('|'),
  'g',
);

const found = places(process.argv.slice(2));
for (const place of found) console.error(place);
if (found.length > 0) {
  console.error(`\n${found.length} places with words that docs/glossary.md replaces.`);
  process.exitCode = 1;
}

/** @param {readonly string[]} paths */
function places(paths) {
  if (paths[0] === '-') return placesIn('stdin', readFileSync(0, 'utf8'));
  const files = execFileSync('git', ['ls-files', '-z', '--', ...paths], { encoding: 'utf8' });
  return files
    .split('\0')
    .filter((file) => file !== '' && !EXCEPT.test(file))
    .flatMap((file) => [
      ...matches(file).map(({ word }) => `${file}: "${word}" in its name`),
      ...(READ.test(file) ? placesIn(file, readFileSync(file, 'utf8')) : []),
    ]);
}

/**
 * One place per line.
 * @param {string} file
 * @param {string} text
 */
function placesIn(file, text) {
  /** @type {Map<number, string>} */
  const byLine = new Map();
  let number = 1;
  let position = 0;
  for (const { word, index } of matches(text)) {
    for (let end; (end = text.indexOf('\n', position)) !== -1 && end < index; position = end + 1) {
      number += 1;
    }
    const end = text.indexOf('\n', position);
    const line = text.slice(position, end === -1 ? undefined : end).trim();
    if (!byLine.has(number)) byLine.set(number, `"${word}": ${line.slice(0, 120)}`);
  }
  return [...byLine].map(([line, place]) => `${file}:${line}: ${place}`);
}

/** @param {string} text */
function matches(text) {
  const hits = text.replaceAll(QUOTED, blank).matchAll(pattern);
  return [...hits].map(({ 0: word, index }) => ({ word, index }));
}

/** @param {string} name */
function blank(name) {
  return ' '.repeat(name.length);
}

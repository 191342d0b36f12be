/**
 * Keeps the vocabulary of docs/glossary.md: `npm run words`. Reads names, comments, log texts and
 * documents alike, and file names. Lists every place that has a word that is not used.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';

/** Whole words, also inside camelCase and snake_case names. */
const WORDS = [
  'whoever',
  'whomever',
  'nobody',
  'somebody',
  'anybody',
  'everybody',
  'owed',
  'owes',
  'lane',
  'lanes',
  'laned',
  'told',
  'untold',
  'unserved',
  'farewell',
  'impatience',
  'patience',
  'landmark',
  'landmarks',
  'stragglers',
  'suspect',
  'suspects',
];
const PHRASES = [/\bgive[sn]? back\b/i, /giveBack/, /\bno one\b/i];

/** Where they are quoted. */
const EXCEPT = /^(docs\/glossary\.md|scripts\/check-words\.mjs|CHANGELOG\.md|package-lock\.json)$/;
const READ = /\.(ts|mts|mjs|md|yml|yaml|sh|example)$|^(Dockerfile|\.env\.example|\.ci\/run)$/;

const pattern = new RegExp(
  `(?<![a-z])(?:${WORDS.join('|')})(?![a-z])|(?:${WORDS.map(capitalised).join('|')})(?![a-z])|\\b(?:${WORDS.map((word) => word.toUpperCase()).join('|')})(?![A-Z])`,
);

const files = execFileSync('git', ['ls-files'], { encoding: 'utf8' }).trim().split('\n');
const found = files.filter((file) => !EXCEPT.test(file)).flatMap(placesIn);
for (const place of found) console.error(place);
if (found.length > 0) {
  console.error(`\n${found.length} places with words that docs/glossary.md replaces.`);
  process.exitCode = 1;
}

/** @param {string} file */
function placesIn(file) {
  const places = isRefused(file) ? [`${file}: its name`] : [];
  if (!READ.test(file)) return places;
  readFileSync(file, 'utf8')
    .split('\n')
    .forEach((line, index) => {
      if (isRefused(line)) places.push(`${file}:${index + 1}: ${line.trim().slice(0, 120)}`);
    });
  return places;
}

/** @param {string} text */
function isRefused(text) {
  return pattern.test(text) || PHRASES.some((phrase) => phrase.test(text));
}

/** @param {string} word */
function capitalised(word) {
  return word[0].toUpperCase() + word.slice(1);
}

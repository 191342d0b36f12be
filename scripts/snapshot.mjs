/**
 * Writes a generated document, or with `--check` compares it with the committed file and names the
 * first line that differs.
 */
import { readFile, writeFile } from 'node:fs/promises';

/** @param {string} file in the root of the repository @param {object} document @param {string} script of package.json */
export async function snapshot(file, document, script) {
  const url = new URL(`../${file}`, import.meta.url);
  const generated = `${JSON.stringify(document, null, 2)}\n`;
  if (!process.argv.includes('--check')) return writeFile(url, generated);
  const committed = await readFile(url, 'utf8').catch(() => '');
  if (committed === generated) return undefined;
  console.error(`${file} differs from what the code generates: run \`npm run ${script}\`.\n`);
  console.error(firstDifference(committed.split('\n'), generated.split('\n')));
  process.exitCode = 1;
}

function firstDifference(before, after) {
  const index = after.findIndex((line, at) => line !== before[at]);
  const at = index === -1 ? after.length : index;
  return `line ${at + 1}\n- ${before[at] ?? ''}\n+ ${after[at] ?? ''}`;
}

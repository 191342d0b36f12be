/**
 * Writes openapi.json from the built code, without a database, a queue or a port:
 * `npm run openapi`. With `--check` it compares instead, and names the first line that differs.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { openApiDocument } from '../dist/src/openapi.js';

const FILE = new URL('../openapi.json', import.meta.url);

const generated = `${JSON.stringify(await openApiDocument(), null, 2)}\n`;

if (process.argv.includes('--check')) {
  const committed = await readFile(FILE, 'utf8').catch(() => '');
  if (committed !== generated) {
    console.error(`openapi.json is not what the code says: run \`npm run openapi\`.\n`);
    console.error(firstDifference(committed.split('\n'), generated.split('\n')));
    process.exitCode = 1;
  }
} else {
  await writeFile(FILE, generated);
}

function firstDifference(before, after) {
  const index = after.findIndex((line, at) => line !== before[at]);
  const at = index === -1 ? after.length : index;
  return `line ${at + 1}\n- ${before[at] ?? ''}\n+ ${after[at] ?? ''}`;
}

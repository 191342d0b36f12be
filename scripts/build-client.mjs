/**
 * Builds the TypeScript client: ES modules and CommonJS, each with its own types. `npm pack` in its
 * directory runs this first.
 */
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';

const folder = fileURLToPath(new URL('../clients/typescript', import.meta.url));
const compiler = createRequire(import.meta.url).resolve('typescript/bin/tsc');

const FORMATS = [
  { project: 'tsconfig.json', directory: 'esm', type: 'module' },
  { project: 'tsconfig.cjs.json', directory: 'cjs', type: 'commonjs' },
];

rmSync(join(folder, 'dist'), { recursive: true, force: true });
for (const { project, directory, type } of FORMATS) {
  const args = [compiler, '-p', join(folder, project)];
  const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' });
  if (status !== 0) process.exit(1);
  // The format of the files below, whatever the package says of its own.
  writeFileSync(join(folder, 'dist', directory, 'package.json'), JSON.stringify({ type }));
}

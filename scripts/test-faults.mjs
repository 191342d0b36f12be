/**
 * The fault suite in its full form: every fault alone, in pairs, and in random sequence.
 *
 *   npm run test:faults -- [--seed 42] [--walk 180] [--only <text>] [--short] [--update-docs]
 *
 * `--short`: every fault once, several files at a time. Arguments after a further `--` are passed to vitest.
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    seed: { type: 'string' },
    walk: { type: 'string' },
    only: { type: 'string' },
    short: { type: 'boolean', default: false },
    'update-docs': { type: 'boolean', default: false },
  },
});

const { status, signal } = spawnSync(
  'npx',
  [
    'vitest',
    'run',
    '--project=faults',
    ...(positionals.some((text) => text.startsWith('--reporter')) ? [] : ['--reporter=verbose']),
    // One file after the other, because files in parallel would slow down the measured recovery.
    ...(values.short ? [] : ['--no-file-parallelism']),
    ...(values.only ? ['--testNamePattern', values.only] : []),
    ...positionals,
  ],
  {
    stdio: 'inherit',
    env: {
      ...process.env,
      FAULTS_FORM: values.short ? 'short' : 'full',
      ...(values.seed && { FAULTS_SEED: values.seed }),
      ...(values.walk && { FAULTS_WALK_S: values.walk }),
      ...(values['update-docs'] && { FAULTS_UPDATE_DOCS: 'true' }),
    },
  },
);
process.exitCode = signal ? 1 : (status ?? 1);

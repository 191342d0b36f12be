/**
 * The fault suite in its full form: every fault alone, in pairs, and in random sequence.
 *
 *   npm run test:faults -- [--seed 42] [--walk 180] [--only <text>] [--short] [--update-docs]
 */
import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';

const { values } = parseArgs({
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
    '--reporter=verbose',
    // One file after the other: recovery is measured, and two cores are few.
    '--no-file-parallelism',
    ...(values.only ? ['--testNamePattern', values.only] : []),
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

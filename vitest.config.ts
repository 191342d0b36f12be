import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // One per core: more forks only make every application in every file slower to answer. At most
    // eight: they share one PostgreSQL.
    maxWorkers: Math.min(8, Math.max(2, availableParallelism())),
    // A process loads the product once, not once per file: a third of the time. So files share what
    // modules keep, and none may leave anything there that another could find.
    isolate: false,
    restoreMocks: true,
    unstubEnvs: true,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    tags: [
      {
        name: 'properties',
        description: 'tried with few examples here, and with all by `npm run test:properties`',
      },
    ],
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['{src,clients}/**/*.spec.ts', 'test/{contract,faults}/**/*.spec.ts'],
        },
      },
      {
        extends: true,
        test: {
          name: 'stores',
          include: ['test/**/*.int-spec.ts', 'test/**/*.e2e-spec.ts'],
          globalSetup: ['test/support/global-setup.ts'],
        },
      },
      {
        extends: true,
        test: {
          // The benchmarks themselves, briefly: that they run, count right and notice a loss.
          name: 'bench',
          include: ['test/bench/**/*.spec.ts'],
        },
      },
      {
        extends: true,
        test: {
          // Stores of its own, which it breaks: scripts/test-faults.mjs runs it, and says in which form.
          name: 'faults',
          include: ['test/faults/**/*.fault-spec.ts'],
          isolate: true,
          globalSetup: ['test/faults/report/global-setup.ts'],
          testTimeout: 180_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});

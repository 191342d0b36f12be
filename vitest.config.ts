import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    // Two cores: more forks only make every application in every file slower to answer.
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
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
          // Stores of its own, which it breaks. A short form, unless scripts/test-faults.mjs says more.
          name: 'faults',
          include: ['test/faults/**/*.fault-spec.ts'],
          globalSetup: ['test/faults/report/global-setup.ts'],
          testTimeout: 180_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});

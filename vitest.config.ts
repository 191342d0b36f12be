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
        test: { name: 'unit', include: ['src/**/*.spec.ts', 'test/contract/**/*.spec.ts'] },
      },
      {
        extends: true,
        test: {
          name: 'stores',
          include: ['test/**/*.int-spec.ts', 'test/**/*.e2e-spec.ts'],
          globalSetup: ['test/support/global-setup.ts'],
        },
      },
    ],
  },
});

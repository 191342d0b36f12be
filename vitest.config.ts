import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

const POSTGRES_15 = [
  ...[
    'bulk-operations',
    'circuits',
    'event-history',
    'exclusive-webhooks',
    'expired-deliveries',
    'log-queries',
    'migrations',
    'outbox',
    'outcome-store',
    'restored-log',
    'retention',
    'session-settings',
    'statement-plans',
  ].map((name) => `test/integration/${name}.int-spec.ts`),
  ...['publish-and-deliver', 'resume'].map((name) => `test/e2e/${name}.e2e-spec.ts`),
  ...['retention-at-volume', 'store-outage'].map((name) => `test/system/${name}.int-spec.ts`),
];

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
          include: ['test/{integration,e2e}/**/*.{int,e2e}-spec.ts'],
          globalSetup: ['test/support/global-setup.ts'],
        },
      },
      {
        extends: true,
        test: {
          // Whole installations: stores that go away, processes that are killed, proxies. Slow.
          name: 'system',
          include: ['test/system/**/*.{int,e2e}-spec.ts'],
          globalSetup: ['test/support/global-setup.ts'],
        },
      },
      {
        extends: true,
        test: {
          // What depends on the planner and on the server's functions, on the oldest version.
          name: 'postgres-15',
          include: POSTGRES_15,
          globalSetup: ['test/support/global-setup-15.ts'],
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
          hookTimeout: 120_000,
        },
      },
    ],
  },
});

import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestProject } from 'vitest/node';
import { planOf } from '../plan.js';
import { DISK_PREFIX } from '../site/small-disk.js';
import { readResults } from './results.js';
import { tableOf, withTable } from './table.js';

declare module 'vitest' {
  export interface ProvidedContext {
    /** The directory of all files of a run. */
    faultDirectory: string;
    faultSeed: number;
  }
}

const DOCUMENT = 'docs/reliability.md';

/** Prints the table of all results at the end, or writes it to the document. */
export default function setup(project: TestProject): () => void {
  const plan = planOf(process.env, Math.floor(Math.random() * 2 ** 31));
  const directory = mkdtempSync(join(tmpdir(), 'tidings-faults-'));
  // When root runs the tests, PostgreSQL runs as another user, which needs access.
  chmodSync(directory, 0o755);
  removeAfterUs(directory);
  project.provide('faultDirectory', directory);
  project.provide('faultSeed', plan.seed);
  return () => {
    const results = readResults(directory);
    if (results.length === 0) return;
    const about = `Seed ${plan.seed}, ${plan.isFull ? 'full' : 'short'} form.`;
    const table = tableOf(results);
    process.stdout.write(`\n${about}\n\n${table}\n`);
    if (!plan.updateDocs) return;
    const document = readFileSync(DOCUMENT, 'utf8');
    writeFileSync(DOCUMENT, withTable(document, `${about}\n\n${table}`));
  };
}

/**
 * Waits for the end of this process, whatever the cause, and of its servers; then removes the files of
 * the run.
 */
const JANITOR = `
  cat > /dev/null
  for second in 1 2 3 4 5 6 7 8 9 10; do
    sleep 1
    for disk in "$1"/${DISK_PREFIX}*; do
      if [ -d "$disk" ]; then umount -l "$disk"; fi
    done
    rm -rf "$1" && exit
  done`;

function removeAfterUs(directory: string): void {
  const janitor = spawn('/bin/sh', ['-c', JANITOR, 'janitor', directory], {
    // In a process group of its own, so that it survives Ctrl-C.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  janitor.unref();
  (janitor.stdin as unknown as { unref(): void }).unref();
}

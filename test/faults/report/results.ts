import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Verdict } from '../checker/checker.js';

const FILE = 'results.jsonl';

/** A row of the table. */
export interface Result {
  fault: string;
  shape: string;
  accepted: number;
  lost: number;
  duplicates: number;
  firstSuccessMs: number | null;
  drainedMs: number | null;
  isGood: boolean;
}

export function resultOf(fault: string, shape: string, verdict: Verdict): Result {
  const { accepted, lost, duplicates, recovery, problems } = verdict;
  return {
    fault,
    shape,
    accepted,
    lost,
    duplicates,
    firstSuccessMs: recovery?.firstSuccessMs ?? null,
    drainedMs: recovery?.drainedMs ?? null,
    isGood: problems.length === 0,
  };
}

export function appendResult(directory: string, result: Result): void {
  appendFileSync(join(directory, FILE), `${JSON.stringify(result)}\n`);
}

export function readResults(directory: string): Result[] {
  const file = join(directory, FILE);
  if (!existsSync(file)) return [];
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as Result);
}

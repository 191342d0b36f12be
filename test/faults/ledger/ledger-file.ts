import { closeSync, fsyncSync, openSync, readdirSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Ledger, type LedgerRecord, parseLedger } from './records.js';

/**
 * The file of one observer. Each record is written synchronously in one call, so it is on disk even if
 * the observer ends right after it.
 */
export class LedgerFile {
  private readonly file: number;

  /** @param directory all files of one run, and nothing else */
  constructor(directory: string, observer: string) {
    this.file = openSync(join(directory, `${observer}.jsonl`), 'a');
  }

  write(record: LedgerRecord): void {
    writeSync(this.file, `${JSON.stringify(record)}\n`);
  }

  close(): void {
    fsyncSync(this.file);
    closeSync(this.file);
  }
}

/** Reads all files of a run; a truncated line is an error. */
export function readLedger(directory: string): Ledger {
  const files = readdirSync(directory).filter((name) => name.endsWith('.jsonl'));
  return parseLedger(files.map((name) => readFileSync(join(directory, name), 'utf8')).join(''));
}

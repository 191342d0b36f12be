import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

/** A run of a few windows; long, because other tests may run on the same machine. */
const RUN_MS = 180_000;

interface Figure {
  name: string;
  value: number | null;
  plain?: number | null;
}

interface Result {
  outcomes: Record<string, { figures: Figure[]; failures: string[] }>;
}

describe('the benchmark of live connections', () => {
  let directory: string;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tidings-bench-'));
  });

  afterEach(async () => {
    await rm(directory, { recursive: true });
  });

  it(
    'measures the product beside plain Socket.IO, and loses nothing',
    async () => {
      const json = join(directory, 'result.json');
      const dist = process.env['TIDINGS_DIST'] ?? 'dist';
      const flags = ['--quick', '--clients', '20', '--only', 'saturated,cuts', '--dist', dist];
      const [code, output] = await new Promise<[number, string]>((resolve) => {
        const args = ['bench/realtime/run.mjs', ...flags, '--json', json];
        execFile(process.execPath, args, (error, stdout, stderr) =>
          resolve([error ? Number(error.code ?? 1) : 0, stdout + stderr]),
        );
      });
      expect(code, output).toBe(0);

      const { outcomes } = JSON.parse(await readFile(json, 'utf8')) as Result;
      expect(Object.keys(outcomes)).toEqual(['saturated', 'cuts']);
      const [messages] = outcomes['saturated']!.figures;
      expect(messages!.name).toBe('messages/s, 20 clients');
      expect(messages!.value).toBeGreaterThan(0);
      expect(messages!.plain).toBeGreaterThan(0);
      const [missed] = outcomes['cuts']!.figures;
      expect(missed).toMatchObject({ value: 0 });
      expect(Object.values(outcomes).flatMap(({ failures }) => failures)).toEqual([]);
    },
    RUN_MS,
  );
});

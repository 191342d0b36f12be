import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

const check = (text: string) =>
  spawnSync(process.execPath, ['scripts/check-words.mjs', '-'], { input: text, encoding: 'utf8' });

describe('npm run words', () => {
  it('accepts the words of the glossary, and words that only contain a refused one', () => {
    const text = [
      '// The worker holds a lease; another node may resume after it. Read the next line.',
      "export class WebhookLease { private buffered = 0; readonly room = 'traders'; }",
      'const plane = [showed, allowed, withheld, whether, shear, storyteller, satellite];',
      'SELECT lease_token, deferred FROM deliveries -- pending, due',
      'Keep its place in the file; chat in a room; put the owner back.',
      'src/delivery/deferred/scheduler.service.ts',
    ].join('\n');
    expect(check(text)).toMatchObject({ status: 0, stderr: '' });
  });

  it('names each line with a refused word in a text, a name or a path', () => {
    const lines = [
      'Nobody knows.',
      'What is owed is sent.',
      'the client is told',
      'const maxOwed = 1;',
      'const owedToWebhook = true;',
      'class LanePass {}',
      'const MAX_LANES = 3;',
      'SELECT 1 FROM webhook_lanes WHERE is_held',
      'test/integration/held-puller.int-spec.ts',
      'mayHear(topic)',
      'giveBack(permit)',
      'it gives some back',
      'it stands in line',
      'the worker has no room',
    ];
    const { status, stderr } = check(`A good line.\n${lines.join('\n')}\n`);
    expect(status).toBe(1);
    const named = stderr.split('\n').map((line) => /^stdin:(\d+): ".+": (.*)$/.exec(line));
    expect(named.flatMap((match) => (match ? [[Number(match[1]), match[2]]] : []))).toEqual(
      lines.map((line, index) => [index + 2, line]),
    );
    expect(stderr).toContain(`${lines.length} places`);
  });
});

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { afterAll, describe, expect, it } from 'vitest';
import { ENVIRONMENT_KEYS, loadConfig } from '../../src/config/env.js';

const text = readFileSync('.env.example', 'utf8');
const example = parseEnv(text) as Record<string, string>;
const dataDir = mkdtempSync(join(tmpdir(), 'tidings-env-example-'));

afterAll(() => rmSync(dataDir, { recursive: true }));

describe('.env.example', () => {
  it('names every key that the product reads, and no other', () => {
    expect(Object.keys(example).toSorted()).toEqual(ENVIRONMENT_KEYS.toSorted());
  });

  it('has the defaults: a copy of it configures the same as an empty environment', () => {
    const configured = { ...loadConfig({ ...example, DATA_DIR: dataDir }), dataDir: '' };
    expect(configured).toEqual({ ...loadConfig({ DATA_DIR: dataDir }), dataDir: '' });
    expect(example.DATA_DIR).toBe('.tidings');
  });

  it.each(ENVIRONMENT_KEYS)('explains %s', (key) => {
    const before = text.slice(0, text.search(new RegExp(`^${key}=`, 'm'))).trimEnd();
    expect(before.split('\n').at(-1)).toMatch(/^# .+\.$/);
  });
});

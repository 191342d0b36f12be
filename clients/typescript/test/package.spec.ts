import { execFile } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as source from '../src/tidings-client.js';
import { type Consumer, installPacked, tsc } from './packed.js';

const TIMEOUT_MS = 180_000;
const EXPORTS = Object.keys(source).toSorted();

let consumer: Consumer;

beforeAll(async () => {
  consumer = await installPacked();
}, TIMEOUT_MS);

afterAll(async () => {
  if (consumer) await rm(consumer.root, { recursive: true, force: true });
});

/** Runs a program in the project. @returns what it prints, as JSON */
async function run(name: string, text: string): Promise<unknown> {
  await writeFile(join(consumer.project, name), text);
  const { stdout } = await promisify(execFile)(process.execPath, [name], {
    cwd: consumer.project,
  });
  return JSON.parse(stdout) as unknown;
}

const filesOf = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));

/** Every path that the value names, at any depth. */
const pathsIn = (value: unknown): string[] =>
  typeof value === 'string'
    ? value.startsWith('./')
      ? [value]
      : []
    : typeof value === 'object' && value !== null
      ? Object.values(value).flatMap(pathsIn)
      : [];

describe('the installed package', () => {
  it('has every file that its package.json names, a licence and a readme, and no sources', () => {
    const { installed } = consumer;
    const manifest = JSON.parse(readFileSync(join(installed, 'package.json'), 'utf8')) as object;
    const paths = pathsIn(manifest);
    expect(paths.length).toBeGreaterThan(5);
    expect(paths.filter((path) => !existsSync(join(installed, path)))).toEqual([]);
    for (const name of ['LICENSE', 'README.md'])
      expect(existsSync(join(installed, name))).toBe(true);
    expect(filesOf(installed).filter((file) => /spec|[^d]\.ts$/.test(file))).toEqual([]);
  });

  it('has source maps that show the source', () => {
    const files = filesOf(consumer.installed);
    const scripts = files.filter((file) => file.endsWith('.js'));
    expect(scripts.length).toBeGreaterThan(30);
    for (const script of scripts) {
      const [, name] = /\/\/# sourceMappingURL=(.+)/.exec(readFileSync(script, 'utf8')) ?? [];
      expect(name, script).toBeDefined();
      const map = JSON.parse(readFileSync(join(script, '..', name!), 'utf8')) as {
        sources: string[];
        sourcesContent?: string[];
      };
      expect(map.sourcesContent?.length, script).toBe(map.sources.length);
    }
  });

  it('is imported as ES modules, and required as CommonJS', async () => {
    const print = 'console.log(JSON.stringify(Object.keys(client).sort()))';
    expect(await run('a.mjs', `import * as client from '@tidings/client';\n${print}`)).toEqual(
      EXPORTS,
    );
    expect(await run('b.cjs', `const client = require('@tidings/client');\n${print}`)).toEqual(
      EXPORTS,
    );
    expect(await run('c.cjs', `import('@tidings/client').then((client) => { ${print} })`)).toEqual(
      EXPORTS,
    );
  });

  it.each([
    ['node10', 'commonjs', 'ts', { ignoreDeprecations: '6.0' }],
    ['node16', 'node16', 'mts', {}],
    ['node16', 'node16', 'cts', {}],
    ['nodenext', 'nodenext', 'mts', {}],
    ['nodenext', 'nodenext', 'cts', {}],
    ['bundler', 'esnext', 'ts', {}],
    ['bundler', 'preserve', 'ts', {}],
  ])(
    'has types for moduleResolution %s, with module %s, in a file .%s',
    async (moduleResolution, module, extension, more) => {
      const folder = join(consumer.project, `${moduleResolution}-${module}-${extension}`);
      await mkdir(folder);
      await writeFile(
        join(folder, `program.${extension}`),
        `import { connect, verifyWebhook, TidingsError, type TidingsClient } from '@tidings/client';
export const client: TidingsClient<{ a: { n: number } }> = connect({ url: 'https://t.example', apiKey: 'x' });
client.subscribe(['a'], (event) => event.data.n.toFixed());
client.on('connected', ({ connectionId }) => connectionId.length);
client.publish({ type: 'a', data: { n: 1 } }).then(({ id }) => id.length, (e) => e instanceof TidingsError);
// @ts-expect-error -- no such type
client.publish({ type: 'b', data: 1 });
export const verified = verifyWebhook('', {}, ['s']).then(({ id }) => id);
`,
      );
      const compilerOptions = {
        target: 'ES2022',
        strict: true,
        noEmit: true,
        skipDefaultLibCheck: true,
        types: [],
        module,
        moduleResolution,
        ...more,
      };
      await writeFile(
        join(folder, 'tsconfig.json'),
        JSON.stringify({ compilerOptions, include: ['program.*'] }),
      );
      expect(await tsc('-p', folder)).toBe('');
    },
    TIMEOUT_MS,
  );

  it(
    'becomes part of a bundle for browsers, which needs nothing of Node',
    async () => {
      const entry = join(consumer.project, 'page.js');
      await writeFile(entry, `export * from '@tidings/client';\n`);
      await build({
        root: consumer.project,
        configFile: false,
        logLevel: 'error',
        build: {
          lib: { entry, formats: ['es'], fileName: 'bundle' },
          outDir: 'bundle',
          emptyOutDir: false,
        },
      });
      const [file] = filesOf(join(consumer.project, 'bundle'));
      expect(readFileSync(file!, 'utf8')).not.toMatch(/node:|\brequire\(|\bprocess\./);
      const bundle = (await import(pathToFileURL(file!).href)) as object;
      expect(Object.keys(bundle).toSorted()).toEqual(EXPORTS);
    },
    TIMEOUT_MS,
  );
});

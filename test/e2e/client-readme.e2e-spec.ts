import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { randomUUID } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { eventually } from '../support/eventually.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { createDatabase, type TestDatabase } from '../support/stores.js';

const PACKAGE = 'clients/typescript';
const readme = readFileSync(join(PACKAGE, 'README.md'), 'utf8');
const blocks = [...readme.matchAll(/^## (.+)$|^```(ts|js)\n([^]*?)^```$/gm)];

/** What a consumer of the package has: the package itself, as it is built, and what it names. */
let project: string;
let database: TestDatabase;
let server: RealtimeApp;
const running: ChildProcess[] = [];

/** What a browser has, and Node 20 has not. */
const BROWSER = `
import { WebSocket } from 'ws';
globalThis.WebSocket ??= WebSocket;
const { fetch } = globalThis;
globalThis.fetch = async (path) =>
  path === '/my-tidings-token' ? new Response(process.env.TOKEN) : fetch(path);
`;

function tsc(...args: string[]): string {
  const { stdout } = spawnSync(process.execPath, [
    resolve('node_modules/typescript/bin/tsc'),
    ...args,
  ]);
  return String(stdout);
}

beforeAll(async () => {
  project = mkdtempSync(join(tmpdir(), 'tidings-consumer-'));
  const modules = join(project, 'node_modules');
  const built = join(modules, '@tidings/client');
  mkdirSync(built, { recursive: true });
  cpSync(join(PACKAGE, 'package.json'), join(built, 'package.json'));
  expect(tsc('-p', PACKAGE, '--outDir', join(built, 'dist'))).toBe('');
  mkdirSync(join(modules, '@types'));
  for (const name of ['ws', 'socket.io-client', '@types/node', '@types/ws']) {
    symlinkSync(resolve('node_modules', name), join(modules, name));
  }
  writeFileSync(join(project, 'package.json'), '{"type": "module"}');
  writeFileSync(join(project, 'browser.mjs'), BROWSER);
  database = await createDatabase();
  server = await startRealtimeApp(database.url);
  writeExamples();
}, 120_000);

afterEach(async () => {
  for (const child of running.splice(0)) {
    child.kill('SIGKILL');
    await new Promise((gone) => child.once('exit', gone));
  }
});

afterAll(async () => {
  await server?.close();
  await database?.drop();
  if (project) rmSync(project, { recursive: true });
});

/** Each block in a file of its own, called by its heading and its place below it. */
function writeExamples(): void {
  let heading = '';
  let count = 0;
  for (const [, title, language, code = ''] of blocks) {
    if (title !== undefined) [heading, count] = [title, 0];
    else {
      count++;
      const text = code.replaceAll('http://localhost:3000', server.url);
      writeFileSync(join(project, `${heading} ${count}.${language}`), text);
    }
  }
  writeFileSync(
    join(project, 'tsconfig.json'),
    JSON.stringify({
      compilerOptions: {
        target: 'ES2022',
        module: 'nodenext',
        strict: true,
        skipLibCheck: true,
        types: ['node'],
        outDir: 'run',
      },
      include: ['*.ts'],
    }),
  );
}

/** Runs a compiled example, and gives what it has printed so far. */
function run(name: string): () => string {
  const args = ['--import', './browser.mjs', name];
  const env = { ...process.env, TOKEN: tokenOf(randomUUID()) };
  const child = spawn(process.execPath, args, { cwd: project, env });
  running.push(child);
  let printed = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (printed += chunk.toString()));
  }
  return () => printed;
}

/** Publishes until the example has printed one of the ids. */
const printsWhatIsPublished = (printed: () => string, type: string, subject?: string) =>
  eventually(() => {
    ids.push(server.publish({ type, ...(subject && { subject }) }));
    expect(
      ids.filter((id) => printed().includes(id)),
      printed(),
    ).not.toEqual([]);
  });
const ids: string[] = [];

describe('the examples of the client', () => {
  it('compile against the package as it is published', () => {
    expect(tsc('-p', project)).toBe('');
  }, 120_000);

  it.each([
    ['run/Listen 1.js', 'trade.submitted', undefined],
    ['run/Listen 1.js', 'price.changed', 'AAPL'],
    ['run/Listen 2.js', 'trade.submitted', undefined],
    ['In a browser 1.js', 'price.changed', undefined],
    ['run/Miss nothing 1.js', 'trade.submitted', undefined],
    ['Without this package 1.js', 'trade.submitted', undefined],
  ])('receive events: %s, %s', async (name, type, subject) => {
    await printsWhatIsPublished(run(name), type, subject);
  });

  it('keep the position where the next run finds it', async () => {
    await printsWhatIsPublished(run('run/Miss nothing 1.js'), 'trade.submitted');
    await eventually(() => {
      expect(ids).toContain(readFileSync(join(project, 'position'), 'utf8'));
    });
  });

  it('verify webhooks', async () => {
    const secret = `whsec_${Buffer.alloc(24, 1).toString('base64')}`;
    vi.stubEnv('WEBHOOK_SECRET', secret);
    const url = pathToFileURL(join(project, 'run/Verify webhooks 1.js')).href;
    const { receive } = (await import(url)) as {
      receive: (request: Request) => Promise<Response>;
    };
    const body = JSON.stringify({ id: 'evt_1', type: 'a', data: {} });
    const headers = (at: Date) => ({
      'webhook-id': 'evt_1',
      'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
      'webhook-signature': new Webhook(secret).sign('evt_1', at, body),
    });
    const post = (at: Date, text = body) =>
      receive(
        new Request('http://localhost', { method: 'POST', headers: headers(at), body: text }),
      );
    expect((await post(new Date())).status).toBe(204);
    const forged = await post(new Date(), body.replace('evt_1', 'evt_2'));
    expect([forged.status, await forged.text()]).toEqual([400, 'no_matching_signature']);
    expect(await (await post(new Date(0))).text()).toBe('too_old');
  });
});

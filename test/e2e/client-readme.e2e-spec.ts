import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type Consumer, installPacked, tsc } from '../../clients/typescript/test/packed.js';
import { eventually } from '../support/eventually.js';
import { tokenFor } from '../support/tokens.js';
import { type RunningApp, World } from '../support/world.js';

const readme = readFileSync('clients/typescript/README.md', 'utf8');
const blocks = [...readme.matchAll(/^## (.+)$|^```(ts|js)\n([^]*?)^```$/gm)];

/** What a consumer of the package has: the package itself, as it is built, and what it names. */
let consumer: Consumer;
let project: string;
let world: World;
let server: RunningApp;
const running: ChildProcess[] = [];

/** What a browser has, and Node 20 has not. */
const BROWSER = `
import { WebSocket } from 'ws';
globalThis.WebSocket ??= WebSocket;
const { fetch } = globalThis;
globalThis.fetch = async (path, init) =>
  path === '/my-tidings-token' ? new Response(process.env.TOKEN) : fetch(path, init);
`;

beforeAll(async () => {
  consumer = await installPacked(['ws', 'socket.io-client', '@types/node', '@types/ws']);
  ({ project } = consumer);
  writeFileSync(join(project, 'package.json'), '{"type": "module"}');
  writeFileSync(join(project, 'browser.mjs'), BROWSER);
  world = await World.create();
  server = await world.start();
  writeExamples();
}, 120_000);

afterEach(async () => {
  for (const child of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.kill('SIGKILL');
    await new Promise((gone) => child.once('exit', gone));
  }
});

afterAll(async () => {
  await world?.stop();
  if (consumer) rmSync(consumer.root, { recursive: true });
});

/** Each block in a file of its own, called by its heading and its place below it. */
function writeExamples(): void {
  let heading = '';
  let count = 0;
  for (const [, title, language, code = ''] of blocks) {
    if (title !== undefined) [heading, count] = [title, 0];
    else {
      count++;
      const text = code.replaceAll('http://localhost:3000', server.baseUrl);
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
function run(
  name: string,
  owner: string = randomUUID(),
  more: NodeJS.ProcessEnv = {},
): () => string {
  const args = ['--import', './browser.mjs', name];
  const env = { ...process.env, TOKEN: tokenFor(owner), ...more };
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
  eventually(async () => {
    const { id } = await server.api.publish({ type, ...(subject && { subject }) });
    ids.push(id);
    expect(
      ids.filter((id) => printed().includes(id)),
      printed(),
    ).not.toEqual([]);
  });
const ids: string[] = [];

describe('the examples of the client', () => {
  it('compile against the package as it is published', async () => {
    expect(await tsc('-p', project)).toBe('');
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

  it('publish, and read the log', async () => {
    const owner = randomUUID();
    const { key } = await server.api.as(tokenFor(owner)).post('/api-keys', { name: 'readme' }, 201);
    const printed = run('run/Publish 1.js', owner, { API_KEY: key });
    await eventually(() => {
      expect(printed()).toMatch(
        /^committed evt_\w+\ncommitted 2\n(logged evt_\w+ trade\.settled\n){2}logged evt_\w+ trade\.submitted\n/,
      );
    });
  });

  it('connect, disconnect and connect again', async () => {
    const owner = randomUUID();
    const printed = run('run/The connection 1.js', owner);
    await eventually(() => {
      expect(printed()).toMatch(
        new RegExp(
          `^connected as ${owner} true \\d+\nround trip [\\d.]+\nclosed by the client false\n` +
            `connected as ${owner} true \\d+\nagain connected\n$`,
        ),
      );
    });
    await server.api.as(tokenFor(owner)).publish({ type: 'trade.submitted' });
    await eventually(() => expect(printed()).toContain('an event of any subscription'));
  });

  it('name the client, and take its name over', async () => {
    const owner = randomUUID();
    const printed = run('run/The connection 2.js', owner);
    await eventually(() => expect(printed()).toBe('connected as laptop false\n'));
    const next = run('run/The connection 2.js', owner);
    await eventually(() => expect(next()).toBe('connected as laptop false\n'));
    await eventually(() => expect(printed()).toMatch(/\nended: replaced\n$/));
  });

  it('see who is present', async () => {
    const printed = run('run/Presence 1.js');
    await eventually(() => {
      expect(printed()).toContain('members 0 joined 0 left 0\n');
      expect(printed()).toContain('members 1 joined 1 left 0\n');
      expect(printed()).toContain('present 1 true\n');
    });
  });

  it('send messages', async () => {
    const printed = run('run/Messages 1.js');
    await eventually(() => expect(printed()).toMatch(/^broadcast \{.*to all$/ms));
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

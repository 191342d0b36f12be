import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { newId } from '../../src/shared/ids.js';
import { BROWSER_START_MS, TestBrowser } from '../support/browser.js';
import { eventually } from '../support/eventually.js';
import { PageServer } from '../support/page-server.js';
import { pythonWithClients } from '../support/python.js';
import { untilTestEnds } from '../support/short-lived.js';
import { tokenFor } from '../support/tokens.js';
import { WebSocketClient } from '../support/websocket-client.js';
import { type RunningApp, World } from '../support/world.js';

/** The blocks of the document as they are written, by heading, language and place. */
const SNIPPETS = snippetsOf(readFileSync('docs/live-clients.md', 'utf8'));

function snippetsOf(document: string): ReadonlyMap<string, string> {
  const snippets = new Map<string, string>();
  let heading = '';
  for (const [, title, language, code = ''] of document.matchAll(
    /^## (.+)$|^```(\w+)\n([^]*?)^```$/gm,
  )) {
    if (title !== undefined) heading = title;
    else {
      let place = 1;
      while (snippets.has(`${heading}: ${language} ${place}`)) place++;
      snippets.set(`${heading}: ${language} ${place}`, code);
    }
  }
  return snippets;
}

/** Each snippet that was run; at the end, all were. */
const tried = new Set<string>();

let world: World;
let product: RunningApp;
let site: PageServer;
let browser: TestBrowser;
let python: string;
let folder: string;
const children: ChildProcess[] = [];

/** What a page has, and Node 20 has not. */
const PAGE = `
import { WebSocket } from 'ws';
globalThis.WebSocket = WebSocket;
globalThis.token = process.env.TOKEN;
`;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'tidings-snippets-')));
  symlinkSync(resolve('node_modules'), join(folder, 'node_modules'));
  writeFileSync(join(folder, 'page.mjs'), PAGE);
  site = await PageServer.start('<!doctype html><link rel="icon" href="data:,">', folder);
  [world, browser, python] = await Promise.all([
    World.create(),
    TestBrowser.start(),
    pythonWithClients(),
  ]);
  product = await world.start({ REALTIME_ALLOWED_ORIGINS: site.origin });
  return async () => {
    await browser.close();
    await world.stop();
    await site.close();
    await rm(folder, { recursive: true });
  };
}, BROWSER_START_MS);

afterEach(async () => {
  await browser.closePages();
  for (const child of children.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    const gone = new Promise((done) => child.once('close', done));
    // Its process group: npx starts another process.
    process.kill(-child.pid!, 'SIGKILL');
    await gone;
  }
});

/** The snippet, for the product of this test. */
function snippet(name: string): string {
  const code = SNIPPETS.get(name);
  if (code === undefined)
    throw new Error(`there is no ${name}, but ${[...SNIPPETS.keys()].join()}`);
  tried.add(name);
  const { host } = new URL(product.baseUrl);
  return code.replaceAll('localhost:3000', host);
}

interface Running {
  /** Everything that it has printed. */
  printed: () => string;
  type: (line: string) => void;
}

/** Runs a snippet in a process, or in a page. */
type Run = (name: string, token: string) => Running | Promise<Running>;

function start(command: string, args: string[], token: string): Running {
  const child = spawn(command, args, {
    cwd: folder,
    detached: true,
    env: { ...process.env, TOKEN: token },
  });
  children.push(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  }
  return { printed: () => output, type: (line) => void child.stdin.write(`${line}\n`) };
}

const inNode = (name: string, token: string) => {
  const file = `${newId('evt')}.mjs`;
  writeFileSync(join(folder, file), snippet(name));
  return start(process.execPath, ['--import', './page.mjs', file], token);
};

const inPython = (name: string, token: string) => start(python, ['-c', snippet(name)], token);

const inShell = (name: string, token: string) => start('sh', ['-c', snippet(name)], token);

const inPage: Run = async (name, token) => {
  let output = '';
  const page = await browser.open(site.origin);
  page.on('console', (message) => (output += `${message.text()}\n`));
  page.on('pageerror', (error) => (output += String(error)));
  const content = `const token = ${JSON.stringify(token)};\n${snippet(name)}`;
  await page.addScriptTag({ type: 'module', content });
  return { printed: () => output, type: () => undefined };
};

/** A tenant of its own, with the token of one of its users. */
function tenant(user = 'ann') {
  const id = newId('key');
  return { id, token: tokenFor(user, { tenant: id }) };
}

/** Another user of the tenant. */
async function listener(id: string): Promise<WebSocketClient> {
  const headers = { authorization: `Bearer ${tokenFor('bob', { tenant: id })}` };
  const client = await WebSocketClient.connect(product.baseUrl, '/ws', { headers });
  return untilTestEnds(client);
}

/** Publishes until the snippet has printed one. */
const printsEvents = ({ printed }: Running, token: string, type: string): Promise<void> =>
  eventually(async () => {
    const event = { type, subject: 'AAPL', data: { price: 187.5 } };
    await product.api.as(token).post('/events', event, 202);
    expect(printed()).toMatch(new RegExp(`^${type} AAPL `, 'm'));
  }, 30_000);

describe('the snippets of docs/live-clients.md', () => {
  it.each<[string, string, Run]>([
    ['a page', 'A feed, in a page: js 1', inPage],
    ['a page', 'A feed, in a page: js 2', inPage],
    ['a page', 'A feed, in a page: js 3', inPage],
    ['Node', 'A feed, in a page: js 1', inNode],
    ['Node', 'A feed, in a page: js 2', inNode],
    ['Python', 'A feed, in Python: python 1', inPython],
    ['Python', 'A feed, in Python: python 2', inPython],
  ])('receive events, in %s: %s', async (_where, name, run) => {
    const { token } = tenant();
    await printsEvents(await run(name, token), token, 'predictions');
  });

  it.each<[string, string, Run]>([
    ['a page', 'A chat, in a page: js 1', inPage],
    ['Node', 'A chat, in a page: js 1', inNode],
  ])('chat, in %s: %s', async (_where, name, run) => {
    const { id, token } = tenant();
    const bob = await listener(id);
    const { printed } = await run(name, token);
    expect(await bob.next('message')).toMatchObject({ kind: 'chat', message: 'Hello.' });
    expect(await bob.nextText()).toBe('Hello, as text.');
    bob.send({ message: 'Welcome.' });
    await eventually(() =>
      expect(printed()).toBe('ann: Hello.\ntext: Hello, as text.\nbob: Welcome.\n'),
    );
  });

  it('chat, in Python', async () => {
    const { id, token } = tenant();
    const bob = await listener(id);
    const { printed } = inPython('A chat, in Python: python 1', token);
    expect(await bob.next('message')).toMatchObject({ kind: 'chat', message: 'Hello.' });
    expect(await bob.next('message')).toMatchObject({ kind: 'broadcast', message: 'To all.' });
    expect(await bob.nextText()).toBe('Hello, as text.');
    const own =
      'chat ann Hello.\nbroadcast ann To all.\nprivate ann Psst.\ntext: Hello, as text.\npong\n';
    // The snippet still waits for its pong when its text has arrived elsewhere.
    await eventually(() => expect(printed()).toBe(own));
    bob.send('Welcome.');
    await eventually(() => expect(printed()).toBe(`${own}text: Welcome.\n`));
  });

  it('chat, and receive events, with wscat', async () => {
    const { id, token } = tenant();
    const bob = await listener(id);
    const { printed, type } = inShell('A chat, with wscat: sh 1', token);
    await eventually(() => expect(printed()).toContain('"type":"connected"'), 30_000);
    type('hello');
    expect(await bob.nextText()).toBe('hello');
    type('{"message": "hi", "message_type": "chat"}');
    expect(await bob.next('message')).toMatchObject({ kind: 'chat', message: 'hi' });
    bob.send('you too');
    type('{"type": "subscribe", "topics": ["trade.*"]}');
    await eventually(() => {
      for (const frame of ['hello', '"kind":"chat"', 'you too', '"topics":["trade.*"]']) {
        expect(printed()).toContain(frame);
      }
    });
    const event = { type: 'trade.submitted', data: { n: 1 } };
    await product.api.as(token).post('/events', event, 202);
    await eventually(() => expect(printed()).toContain('"type":"trade.submitted"'));
  });

  it.each<[string, string, Run]>([
    ['Node', 'Socket.IO: js 1', inNode],
    ['Python', 'Socket.IO: python 1', inPython],
  ])('subscribe and chat over Socket.IO, in %s', async (_where, name, run) => {
    const { id, token } = tenant();
    const bob = await listener(id);
    const running = await run(name, token);
    expect(await bob.next('message')).toMatchObject({ kind: 'chat', message: 'Hello.' });
    await printsEvents(running, token, 'trade.submitted');
    bob.send('Welcome.');
    await eventually(() => {
      expect(running.printed()).toMatch(/^ann: Hello\.$/m);
      expect(running.printed()).toMatch(/^bob: Welcome\.$/m);
    });
  });

  it('receive events over Socket.IO under their types', async () => {
    const { token } = tenant();
    await printsEvents(inNode('Socket.IO: js 2', token), token, 'trade.submitted');
  });

  it.each<[string, Run]>([
    ['a page', inPage],
    ['Node', inNode],
  ])('see who is there, in %s', async (_where, run) => {
    const { id, token } = tenant();
    const { printed } = await run('Who is there: js 1', token);
    await eventually(async () => {
      const bob = await listener(id);
      bob.send('Hello.');
      await bob.nextText();
      bob.close();
      expect(printed()).toMatch(/^client \d+ has come$/m);
      expect(printed()).toMatch(/^\d+ are left$/m);
      expect(printed()).toMatch(/^\d+ messages so far$/m);
    }, 30_000);
  });

  it('were all tried', () => {
    expect([...SNIPPETS.keys()].filter((name) => !tried.has(name))).toEqual([]);
  });
});

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';
import type { Timings } from '../../src/config/timings.js';
import { ApiClient } from './api-client.js';
import { TEST_TIMINGS } from './timings.js';
import { adminToken } from './tokens.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
/** TIDINGS_DIST: another build of the product, which the tests are to try instead. */
const DIST = process.env['TIDINGS_DIST'] ?? join(ROOT, 'dist');
const MAIN = join(DIST, 'main.js');
const MAIN_WITH_TIMINGS = join(ROOT, 'test/support/product-main.mjs');
const SETPRIV = '/usr/bin/setpriv';
const START_TIMEOUT_MS = 40_000;

type Child = ChildProcessByStdio<null, Readable, Readable>;

export interface ProductOptions {
  /** Beside the tests' own; `production`: starts `dist/main.js` itself, which has no others. */
  timings?: Partial<Timings> | 'production';
}

/** How a process ended: by itself with a code, or by a signal. */
export interface Exit {
  code: number | null;
  signal: NodeJS.Signals | null;
}

/** The built product in a process of its own, with the tests' timings. It never outlives the tests. */
export class ProductProcess {
  /** The URL on which it listens; empty until it does. */
  baseUrl = '';
  /** As an admin of the tests' JWT_SECRET; `api.as(token)` for others. */
  api = new ApiClient('', undefined);
  /** Everything that it has printed, both streams. */
  output = '';
  /** Settles when it has ended and {@link output} is complete. */
  readonly exited: Promise<Exit>;
  private readonly killWithTests = () => this.child.kill('SIGKILL');

  private constructor(private readonly child: Child) {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
    process.once('exit', this.killWithTests);
    this.exited = once(child, 'close').then(([code, signal]) => {
      process.removeListener('exit', this.killWithTests);
      return { code: code as Exit['code'], signal: signal as Exit['signal'] };
    });
  }

  /**
   * Starts it with exactly this environment, and waits until it listens.
   * @throws with its output if it ends before
   */
  static async start(
    env: NodeJS.ProcessEnv,
    options: ProductOptions = {},
  ): Promise<ProductProcess> {
    const product = ProductProcess.spawn({ LOG_LEVEL: 'log', ...env }, options);
    await product.listening();
    return product;
  }

  /** Starts it without waiting: for a product that is not meant to listen. */
  static spawn(env: NodeJS.ProcessEnv, { timings = {} }: ProductOptions = {}): ProductProcess {
    assertIsBuilt();
    const program =
      timings === 'production'
        ? [MAIN]
        : [MAIN_WITH_TIMINGS, DIST, JSON.stringify({ ...TEST_TIMINGS, ...timings })];
    const [file, args] = existsSync(SETPRIV)
      ? [SETPRIV, ['--pdeathsig=KILL', process.execPath, ...program]]
      : [process.execPath, program];
    const { PATH, HOME } = process.env;
    const child = spawn(file, args, {
      cwd: ROOT,
      // In a process group of its own: Ctrl-C reaches only the tests, which stop it in order.
      detached: true,
      env: { ...(PATH && { PATH }), ...(HOME && { HOME }), ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    return new ProductProcess(child);
  }

  /** Undefined once it could not be started. */
  get pid(): number | undefined {
    return this.child.pid;
  }

  /** Sends a signal: SIGTERM, SIGKILL, SIGSTOP, SIGCONT. */
  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal);
  }

  /** Sends SIGTERM or SIGKILL and waits for the end; also for one that has ended or is stopped. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<Exit> {
    this.kill(signal);
    this.kill('SIGCONT');
    return this.exited;
  }

  /** @throws with its output if it ends before it listens */
  async listening(): Promise<void> {
    const port = await Promise.race([this.port(), this.exited.then(() => undefined)]);
    if (port === undefined) throw new Error(`the product did not start:\n${this.output}`);
    this.baseUrl = `http://127.0.0.1:${port}`;
    this.api = new ApiClient(this.baseUrl, adminToken());
  }

  private port(): Promise<string> {
    return new Promise((resolve, reject) => {
      const timeout = setTimeout(() => {
        this.kill('SIGKILL');
        reject(new Error(`the product does not listen:\n${this.output}`));
      }, START_TIMEOUT_MS);
      void this.exited.then(() => clearTimeout(timeout));
      this.child.stdout.on('data', () => {
        const [, port] = /listening on http:\/\/localhost:(\d+)/.exec(this.output) ?? [];
        if (port === undefined) return;
        clearTimeout(timeout);
        resolve(port);
      });
    });
  }
}

/** @throws unless `dist/main.js` exists and is newer than all sources */
function assertIsBuilt(): void {
  if (!existsSync(MAIN)) throw new Error(`${MAIN} is missing: run \`npm run build\``);
  if (process.env['TIDINGS_DIST']) return;
  const builtAt = statSync(MAIN).mtimeMs;
  for (const folder of ['src', 'migrations']) {
    const newer = sourcesIn(join(ROOT, folder)).find((file) => statSync(file).mtimeMs > builtAt);
    if (newer) throw new Error(`dist is older than ${newer}: run \`npm run build\``);
  }
}

const sourcesIn = (folder: string): string[] =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter(({ name }) => name.endsWith('.ts') && !name.endsWith('.spec.ts'))
    .map((entry) => join(entry.parentPath, entry.name));

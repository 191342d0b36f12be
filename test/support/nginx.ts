import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './eventually.js';
import { freePort } from './free-port.js';
import { findOrInstall } from './installed-program.js';

const PROGRAM = {
  what: 'nginx',
  names: ['nginx'],
  places: ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin'],
  package: 'nginx-light',
  help: 'Install nginx, for example with `brew install nginx`.',
};

const PAGE = 'docs/behind-a-proxy.md';
const STARTS = 3;

/** The configuration below a heading of the page, for these nodes and this port. */
function configuration(heading: string, nodes: readonly string[], port: number): string {
  const [, section = ''] = readFileSync(PAGE, 'utf8').split(`\n## ${heading}\n`);
  const [, block] = /^```nginx\n([^]*?)^```$/m.exec(section) ?? [];
  if (block === undefined) throw new Error(`no configuration below "${heading}" of ${PAGE}`);
  return nodes
    .reduce((text, node, n) => text.replaceAll(`127.0.0.1:${3_000 + n}`, new URL(node).host), block)
    .replace('listen 80;', `listen 127.0.0.1:${port};`);
}

/** nginx with a configuration of the documentation, in front of nodes of a test. */
export class Nginx {
  private constructor(
    private readonly directory: string,
    private readonly child: ChildProcess,
    readonly url: string,
  ) {}

  /** @param heading the section of the page @param nodes in the place of its ports 3000, 3001, … */
  static async start(heading: string, nodes: readonly string[]): Promise<Nginx> {
    const program = await findOrInstall(PROGRAM);
    for (let tries = 1; ; tries++) {
      const port = await freePort();
      const nginx = await Nginx.launch(program, configuration(heading, nodes, port), port);
      const isUp = await nginx.answers();
      if (isUp) return nginx;
      await nginx.close();
      if (tries === STARTS) throw new Error(`nginx does not start with "${heading}"`);
    }
  }

  private static async launch(program: string, http: string, port: number): Promise<Nginx> {
    const directory = await mkdtemp(join(tmpdir(), 'tidings-nginx-'));
    const bodies = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
      .map((name) => `${name}_temp_path ${join(directory, name)};`)
      .join('\n');
    const file = join(directory, 'nginx.conf');
    await writeFile(
      file,
      `daemon off;
master_process off;
worker_processes 1;
pid ${join(directory, 'pid')};
error_log stderr crit;
events { worker_connections 1024; }
http {
access_log off;
${bodies}
${http}
}
`,
    );
    const child = spawn(program, ['-p', directory, '-e', 'stderr', '-c', file], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const nginx = new Nginx(directory, child, `http://127.0.0.1:${port}`);
    process.once('exit', nginx.endWithProcess);
    return nginx;
  }

  async close(): Promise<void> {
    process.removeListener('exit', this.endWithProcess);
    if (this.hasEnded()) return rm(this.directory, { recursive: true, force: true });
    this.child.kill('SIGKILL');
    await once(this.child, 'exit');
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Whether it has begun to listen; false if it has ended. */
  private answers(): Promise<boolean> {
    return eventually(async () => {
      if (this.hasEnded()) return false;
      await fetch(this.url);
      return !this.hasEnded();
    });
  }

  private hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null;
  }

  private readonly endWithProcess = () => this.child.kill('SIGKILL');
}

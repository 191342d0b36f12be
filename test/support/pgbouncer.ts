import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { launchCommand } from '../../src/embedded-postgres/postgres-command.js';
import {
  chooseLaunchMode,
  ENVIRONMENT,
} from '../../src/embedded-postgres/postgres-programs.service.js';
import { eventually } from './eventually.js';
import { findOrInstall } from './installed-program.js';
import type { TestDatabase } from './stores.js';

const PROGRAM = {
  what: 'PgBouncer',
  names: ['pgbouncer'],
  places: ['/usr/sbin', '/usr/local/sbin', '/opt/homebrew/bin'],
  package: 'pgbouncer',
  help: 'Install pgbouncer, for example with `brew install pgbouncer`.',
};

/** Only the name of its socket depends on it. */
const PORT = 6_432;

/** A PgBouncer with the settings that it has by default, in front of a database of the tests. */
export class PgBouncer {
  private constructor(
    private readonly directory: string,
    private readonly child: ChildProcess,
    /** For `DATABASE_URL`. */
    readonly url: string,
  ) {}

  static async start(mode: 'session' | 'transaction', database: TestDatabase): Promise<PgBouncer> {
    const program = await findOrInstall(PROGRAM);
    const directory = await mkdtemp(join(tmpdir(), 'tidings-pgbouncer-'));
    await chmod(directory, 0o755);
    const launch = await chooseLaunchMode(program, directory);
    const { host, port, user, password, database: name } = database.connection;
    const target = [`host=${host}`, `port=${port}`, `user=${user}`, `dbname=${name}`];
    if (password) target.push(`password=${password}`);
    const ini = join(directory, 'pgbouncer.ini');
    await writeFile(
      ini,
      `[databases]
${name} = ${target.join(' ')}
[pgbouncer]
listen_addr =
listen_port = ${PORT}
unix_socket_dir = ${directory}
auth_type = any
pool_mode = ${mode}
default_pool_size = ${mode === 'session' ? 60 : 6}
max_client_conn = 200
`,
    );
    if (launch.account) await chown(directory, launch.account.uid, launch.account.gid);
    const { file, args, ...account } = launchCommand(launch, program, ['-q', ini]);
    const child = spawn(file, args, {
      ...account,
      cwd: '/',
      env: ENVIRONMENT,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    const url = `postgres://${user}@localhost:${PORT}/${name}?host=${encodeURIComponent(directory)}`;
    const bouncer = new PgBouncer(directory, child, url);
    process.once('exit', bouncer.endWithProcess);
    await eventually(async () => {
      const client = new Client({ connectionString: url });
      await client.connect();
      await client.end();
    });
    return bouncer;
  }

  async stop(): Promise<void> {
    process.removeListener('exit', this.endWithProcess);
    if (this.child.exitCode === null && this.child.signalCode === null) {
      this.child.kill('SIGKILL');
      await once(this.child, 'exit');
    }
    await rm(this.directory, { recursive: true, force: true });
  }

  private readonly endWithProcess = () => this.child.kill('SIGKILL');
}

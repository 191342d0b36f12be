import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { findOrInstall } from './installed-program.js';

const run = promisify(execFile);

export interface CertificateAndKey {
  /** PEM. */
  cert: string;
  key: string;
}

export interface Request {
  /** Subject alternative names, e.g. `DNS:localhost`. */
  names?: string[];
  /** In days from now. */
  from?: number;
  until?: number;
  /** For `openssl genpkey`; P-256 unless given. */
  algorithm?: string[];
}

const DAY_MS = 86_400_000;
const P256 = ['EC', '-pkeyopt', 'ec_paramgen_curve:P-256'];

/** A private certificate authority, made by OpenSSL, and what it issues. */
export class CertificateAuthority {
  private constructor(
    private readonly openssl: string,
    private readonly directory: string,
    /** Its own certificate, PEM. */
    readonly cert: string,
  ) {}

  static async create(name = 'Test Authority'): Promise<CertificateAuthority> {
    const openssl = await findOrInstall({
      what: 'OpenSSL',
      names: ['openssl'],
      places: ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin'],
      package: 'openssl',
      help: 'Install it (Debian: apt-get install openssl), or put it on the PATH.',
    });
    const directory = await mkdtemp(join(tmpdir(), 'tidings-ca-'));
    const at = (file: string) => join(directory, file);
    await writeFile(at('index.txt'), '');
    await writeFile(at('ca.cnf'), CONFIG(directory));
    await run(openssl, ['genpkey', '-algorithm', ...P256, '-out', at('ca.key')]);
    const subject = ['-subj', `/CN=${name}`, '-days', '3650', '-config', at('ca.cnf')];
    const files = ['-key', at('ca.key'), '-out', at('ca.pem')];
    await run(openssl, ['req', '-x509', '-new', ...files, ...subject]);
    return new CertificateAuthority(openssl, directory, await readFile(at('ca.pem'), 'utf8'));
  }

  private count = 0;
  private readonly servers: ChildProcess[] = [];

  async issue({
    names = ['DNS:localhost', 'IP:127.0.0.1'],
    from = -1,
    until = 365,
    algorithm = P256,
  }: Request = {}): Promise<CertificateAndKey> {
    const at = (file: string) => join(this.directory, file);
    const id = `leaf-${++this.count}`;
    const [key, csr, cert, extensions] = ['key', 'csr', 'pem', 'ext'].map((e) => at(`${id}.${e}`));
    await run(this.openssl, ['genpkey', '-algorithm', ...algorithm, '-out', key!]);
    const config = ['-config', at('ca.cnf')];
    const subject = ['-subj', `/CN=${id}`];
    await run(this.openssl, ['req', '-new', '-key', key!, '-out', csr!, ...subject, ...config]);
    await writeFile(extensions!, `subjectAltName=${names.join(',')}\n`);
    const dates = ['-startdate', timeIn(from), '-enddate', timeIn(until)];
    const files = ['-in', csr!, '-out', cert!, '-extfile', extensions!];
    await run(this.openssl, ['ca', '-batch', '-notext', ...config, ...files, ...dates]);
    return { cert: await readFile(cert!, 'utf8'), key: await readFile(key!, 'utf8') };
  }

  /** The same key, behind a passphrase. */
  async encrypted(key: string): Promise<string> {
    const file = join(this.directory, 'plain.key');
    await writeFile(file, key);
    const out = ['-aes256', '-passout', 'pass:secret'];
    return (await run(this.openssl, ['pkey', '-in', file, ...out])).stdout;
  }

  /** Starts OpenSSL's own server, which refuses clients as the RFCs say. @returns its port */
  async serve({ cert, key }: CertificateAndKey, options: string[]): Promise<number> {
    const at = (file: string) => join(this.directory, file);
    const id = `server-${++this.count}`;
    await writeFile(at(`${id}.pem`), cert);
    await writeFile(at(`${id}.key`), key);
    const files = ['-cert', at(`${id}.pem`), '-key', at(`${id}.key`), '-CAfile', at('ca.pem')];
    const server = spawn(this.openssl, ['s_server', '-accept', '0', ...files, ...options], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    this.servers.push(server);
    for await (const line of createInterface(server.stdout)) {
      const port = /^ACCEPT .*:(\d+)$/.exec(line)?.[1];
      if (port !== undefined) return Number(port);
    }
    throw new Error('openssl s_server did not start');
  }

  async remove(): Promise<void> {
    for (const server of this.servers) server.kill();
    await rm(this.directory, { recursive: true });
  }
}

/** `YYYYMMDDHHMMSSZ` */
const timeIn = (days: number): string =>
  new Date(Date.now() + days * DAY_MS).toISOString().replace(/\.\d+/, '').replace(/[-:T]/g, '');

const CONFIG = (directory: string): string => `
[ca]
default_ca = tests
[tests]
database = ${directory}/index.txt
new_certs_dir = ${directory}
certificate = ${directory}/ca.pem
private_key = ${directory}/ca.key
rand_serial = yes
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[req]
distinguished_name = name
x509_extensions = authority
[name]
[authority]
basicConstraints = critical,CA:TRUE
subjectKeyIdentifier = hash
`;

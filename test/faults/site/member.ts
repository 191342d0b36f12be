import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { ProductProcess } from '../../support/product-process.js';
import { TcpProxy, type Target } from '../../support/tcp-proxy.js';
import type { LedgerRecord } from '../ledger/records.js';

/** Output that no healthy process prints, the passwords of this suite among it. "heap" as a word: a random id may contain these letters. */
const COMPLAINT =
  /unhandled|uncaught|TypeError|ReferenceError|RangeError|MaxListeners|\bheap\b|the-password-of/i;
const START_ATTEMPTS = 10;
const BETWEEN_STARTS_MS = 1_000;

/** One process of the product, which can be stopped and restarted; it has its own proxy to the database. */
export class Member {
  private product: ProductProcess | undefined;
  private starting: Promise<ProductProcess> | undefined;
  private expected = 'to run';
  private readLines = 0;

  private constructor(
    readonly name: string,
    /** All traffic of this process with PostgreSQL passes through it. */
    readonly proxy: TcpProxy,
    private readonly environment: NodeJS.ProcessEnv,
    private readonly record: (record: LedgerRecord) => void,
  ) {}

  static async join(
    name: string,
    postgres: Target,
    environment: (postgresPort: number) => NodeJS.ProcessEnv,
    record: (record: LedgerRecord) => void,
  ): Promise<Member> {
    const proxy = await TcpProxy.to(postgres);
    const member = new Member(name, proxy, environment(proxy.port), record);
    // Without retries: a build that does not start now is broken.
    member.starting = member.startWithRetries(1);
    await member.starting;
    return member;
  }

  /** Its URL, or the last one if it has ended. */
  get baseUrl(): string {
    return this.product?.baseUrl ?? '';
  }

  /** Starts it if it is not running; retries while a store is unavailable. */
  async start(): Promise<void> {
    this.starting ??= this.startWithRetries(START_ATTEMPTS);
    await this.starting;
  }

  /** `kill -9`. */
  async kill(): Promise<void> {
    await this.starting;
    const at = Date.now();
    await this.end('SIGKILL', 'SIGKILL');
    this.record({ kind: 'disturbed', from: at, until: Date.now(), what: `kill -9 ${this.name}` });
  }

  /** An orderly shutdown with exit code 0. Returns how long it took. */
  async terminate(): Promise<number> {
    await this.starting;
    const at = performance.now();
    await this.end('SIGTERM', 'code 0');
    return performance.now() - at;
  }

  /** SIGTERM, and SIGKILL after this time. */
  async terminateAndKill(afterMs: number): Promise<void> {
    const { product } = this;
    const at = Date.now();
    const end = this.end('SIGTERM', 'SIGKILL or code 0');
    await Promise.race([delay(afterMs), end]);
    product?.kill('SIGKILL');
    await end;
    this.record({ kind: 'disturbed', from: at, until: Date.now(), what: `ended ${this.name}` });
  }

  /** Stops it (SIGSTOP) until {@link wake}. */
  freeze(): void {
    this.product?.kill('SIGSTOP');
  }

  wake(frozenAt: number): void {
    this.product?.kill('SIGCONT');
    const record = { kind: 'disturbed', from: frozenAt, until: Date.now() } as const;
    this.record({ ...record, what: `SIGSTOP ${this.name}` });
  }

  /** Records open files and memory, on systems that have `/proc`. */
  sample(): void {
    const pid = this.product?.pid;
    try {
      const fds = readdirSync(`/proc/${pid}/fd`).length;
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      const [, kB] = /VmRSS:\s+(\d+)/.exec(status) ?? [];
      const process = `${this.name} (${pid})`;
      const rssBytes = Number(kB) * 1024;
      this.record({ kind: 'sampled', at: Date.now(), process, fds, rssBytes });
    } catch {
      // It has just ended, or this is not Linux.
    }
  }

  /** Records errors that it has printed since the last call. */
  listen(): void {
    const lines = (this.product?.output ?? '').split('\n');
    for (const line of lines.slice(this.readLines)) {
      if (!COMPLAINT.test(line)) continue;
      this.record({ kind: 'complained', at: Date.now(), process: this.name, line });
    }
    this.readLines = Math.max(0, lines.length - 1);
  }

  get output(): string {
    return this.product?.output ?? '';
  }

  async leave(): Promise<void> {
    this.expected = 'SIGKILL';
    await this.product?.end('SIGKILL');
    await this.proxy.close();
  }

  private async startWithRetries(attempts: number): Promise<ProductProcess> {
    for (let attempt = 1; ; attempt++) {
      try {
        this.expected = 'to run';
        const product = await ProductProcess.start(this.environment, {
          timings: 'production',
        });
        this.product = product;
        this.readLines = 0;
        void product.exited.then((exit) => this.note(product, exit));
        return product;
      } catch (error) {
        if (attempt === attempts) throw error;
        await delay(BETWEEN_STARTS_MS);
      }
    }
  }

  private async end(signal: NodeJS.Signals, expected: string): Promise<void> {
    const { product } = this;
    this.expected = expected;
    await product?.end(signal);
    this.listen();
    this.starting = undefined;
  }

  private note(
    product: ProductProcess,
    exit: { code: number | null; signal: string | null },
  ): void {
    if (product !== this.product) return;
    const how = exit.signal ?? `code ${exit.code}`;
    const expected = this.expected.split(' or ').includes(how) ? how : this.expected;
    this.record({ kind: 'ended', at: Date.now(), process: this.name, how, expected });
  }
}

import type { Socket } from 'node:net';
import pg from 'pg';
import {
  OWN_NAME,
  sessionSetup,
  STARTUP_PARAMETERS,
  WORKING_BACKENDS,
} from './session.statements.js';
import { type Probe, SilenceWatch, type WatchedConnection } from './silence-watch.timer.js';

/** SQLSTATE `connection_failure`. */
const CONNECTION_FAILURE = '08006';

/** A connection that is ended gets so long to say so; then its socket is destroyed. */
const END_TIMEOUT_MS = 2_000;

/**
 * pg gives errors of the server their SQLSTATE and errors of the socket the code of Node. Those that
 * it makes itself when a connection is lost, refused or not to be had in time carry none: they get
 * the code of the standard, so that callers need not read messages.
 */
function withCode<E>(error: E): E {
  // A TypeError is a mistake in the configuration or in the program.
  if (error instanceof Error && !(error instanceof TypeError) && !('code' in error)) {
    Object.assign(error, { code: CONNECTION_FAILURE });
  }
  return error;
}

type Callback = (error: unknown, ...results: unknown[]) => void;
type Method = (...args: unknown[]) => unknown;

/**
 * Calls a method of pg, which settles through a callback or a promise, and passes its error on.
 * @param settled is called when it settles, before the caller
 */
function passingErrors(
  method: Method,
  args: unknown[],
  change: (error: unknown) => unknown,
  settled: () => void = ignore,
): unknown {
  const callback = args.at(-1);
  if (typeof callback === 'function') {
    const changed: Callback = (error, ...results) => {
      settled();
      (callback as Callback)(error ? change(error) : error, ...results);
    };
    return method(...args.slice(0, -1), changed);
  }
  const result = method(...args);
  if (!(result instanceof Promise)) {
    settled();
    return result;
  }
  return result.then(
    (value: unknown) => {
      settled();
      return value;
    },
    (error: unknown) => {
      settled();
      throw change(error);
    },
  );
}

/** What our connections are made with, beside the options of pg. */
export interface ConnectionOptions extends pg.PoolConfig {
  /** The longest that the server lets a statement run, in milliseconds; 0: for ever. */
  statementTimeoutMs: number;
  /** See {@link SilenceWatch}. */
  silentMs: number;
  /** Connections for prepared statements; see {@link Pool.engine}. */
  enginePoolSize: number;
  /** Leads to the server itself where `connectionString` leads to a pooler. */
  directUrl?: string | undefined;
  watch?: SilenceWatch;
}

interface Internals {
  connection: { stream: Socket };
  connectionParameters: { options?: string };
  processID: number | null;
  getStartupConf(): Record<string, string>;
}

export class Client extends pg.Client implements WatchedConnection {
  backend: number | undefined;
  /** Of named statements. A pooler that does not follow them mixes up those of its clients. */
  private areNamesKept = true;
  private isUsable = true;
  private waiting = 0;
  private sentMs = 0;
  private readMs = 0;
  private readBytes = 0;

  constructor(private readonly options: ConnectionOptions) {
    super(options);
    const internals = this.internals;
    const startupConf = internals.getStartupConf.bind(this);
    internals.getStartupConf = () => ({ ...startupConf(), ...STARTUP_PARAMETERS });
  }

  get isWaiting(): boolean {
    return this.waiting > 0;
  }

  /** Large answers count while they come. */
  get quietSinceMs(): number {
    const { bytesRead } = this.internals.connection.stream;
    if (bytesRead !== this.readBytes) {
      this.readBytes = bytesRead;
      this.readMs = performance.now();
    }
    return Math.max(this.sentMs, this.readMs);
  }

  /** Whether there is a pooler between, which answers for the server. */
  get isPooled(): boolean {
    return this.backend === undefined;
  }

  abandon(reason: string): void {
    const error = Object.assign(new Error(`connection abandoned: ${reason}`), {
      code: 'ETIMEDOUT',
    });
    this.internals.connection.stream.destroy(error);
  }

  /** An `error` event says that the connection is lost; statements in flight fail with the same one. */
  override emit(name: string | symbol, ...args: unknown[]): boolean {
    if (name === 'error') {
      this.isUsable = false;
      withCode(args[0]);
    }
    return super.emit(name, ...args);
  }

  override connect = ((...args: unknown[]) =>
    passingErrors(
      (callback?: unknown) => {
        const opened = this.open(super.connect.bind(this) as () => Promise<unknown>);
        if (typeof callback !== 'function') return opened;
        return void opened.then(
          () => (callback as Callback)(undefined, this),
          (error: unknown) => (callback as Callback)(error),
        );
      },
      args,
      withCode,
    )) as pg.Client['connect'];

  override query = ((...args: unknown[]) => {
    if (this.waiting++ === 0) this.sentMs = performance.now();
    return passingErrors(
      super.query.bind(this) as Method,
      this.areNamesKept ? args : withoutName(args),
      (error) => (this.isUsable ? error : withCode(error)),
      this.answered,
    );
  }) as pg.Client['query'];

  override end = ((...args: unknown[]) => {
    this.isUsable = false;
    const { stream } = this.internals.connection;
    const timer = setTimeout(() => stream.destroy(), END_TIMEOUT_MS).unref();
    stream.once('close', () => clearTimeout(timer));
    return (super.end.bind(this) as Method)(...args);
  }) as pg.Client['end'];

  private get internals(): Internals {
    return this as unknown as Internals;
  }

  private readonly answered = (): void => {
    this.waiting--;
    this.readMs = performance.now();
    this.readBytes = this.internals.connection.stream.bytesRead;
    if (this.waiting > 0) this.sentMs = this.readMs;
  };

  /** Connects, and makes the session ours before anyone uses it. */
  private async open(connect: () => Promise<unknown>): Promise<void> {
    // Until its user listens: without a listener the error of a socket ends the process.
    this.on('error', ignore);
    await connect();
    const { watch, statementTimeoutMs } = this.options;
    if (watch) {
      watch.add(this);
      this.once('end', () => watch.delete(this));
    }
    try {
      const { options } = this.internals.connectionParameters;
      const { rows } = await this.query<{ pid: number }>(sessionSetup(statementTimeoutMs, options));
      if (rows[0]?.pid === this.internals.processID) this.backend = rows[0].pid;
      else this.areNamesKept = await this.followsNames();
    } catch (error) {
      void this.end().catch(ignore);
      throw error;
    }
    this.off('error', ignore);
  }

  private async followsNames(): Promise<boolean> {
    try {
      const { rows } = await this.query<{ name: string }>(OWN_NAME);
      return rows.length > 0 && rows.every(({ name }) => name !== OWN_NAME.name);
    } catch {
      // Another client's statement has the name.
      return false;
    }
  }
}

const ignore = (): void => undefined;

function withoutName([config, ...rest]: unknown[]): unknown[] {
  if (typeof config !== 'object' || config === null || !('name' in config))
    return [config, ...rest];
  const { name: _, ...unnamed } = config;
  return [unnamed, ...rest];
}

class CodedPool extends pg.Pool {
  override connect = ((...args: unknown[]) =>
    passingErrors(super.connect.bind(this) as Method, args, withCode)) as pg.Pool['connect'];
}

/**
 * TypeORM's pool, for repositories and transactions, and what else this process connects with. The
 * statements of the engine have connections of their own, so that requests of one kind, however many
 * wait for each other's locks, never keep events from being accepted and delivered.
 */
export class Pool extends CodedPool {
  /** For prepared statements. */
  readonly engine: pg.Pool;
  private readonly watch: SilenceWatch;
  private readonly directOptions: ConnectionOptions;

  constructor(options: ConnectionOptions) {
    const watch = watchOf(options);
    const watched: object = { ...options, Client, watch };
    super(watched);
    this.watch = watch;
    this.engine = new CodedPool({ ...watched, max: options.enginePoolSize });
    // As for this pool TypeORM does: the connection is removed, and callers get the error themselves.
    this.engine.on('error', (error) => this.emit('error', error));
    const { directUrl } = options;
    const direct = directUrl === undefined ? options : { ...options, connectionString: directUrl };
    this.directOptions = { ...direct, watch: directUrl === undefined ? watch : watchOf(direct) };
  }

  /** For how long the server has been silent about a statement that waits for it, in milliseconds. */
  get silentForMs(): number {
    return this.watch.silentForMs;
  }

  /** A connection outside of the pools, to the server itself. The caller ends it. */
  createClient(): Client {
    return new Client(this.directOptions);
  }

  override end = ((callback?: () => void) => {
    const ended = Promise.all([super.end(), this.engine.end()]).then(() => undefined);
    if (!callback) return ended;
    return void ended.then(callback, callback);
  }) as pg.Pool['end'];
}

/** Of the server's own limit: where it cannot be asked, it has had enough time to end the statement. */
const LIMIT_FACTOR = 2;
/** Where the server has no limit. */
const LONGEST_MS = 3_600_000;

const watchOf = (options: ConnectionOptions): SilenceWatch =>
  new SilenceWatch({
    silentMs: options.silentMs,
    limitMs: options.statementTimeoutMs * LIMIT_FACTOR || LONGEST_MS,
    probe: (backends) => probe(options, backends),
  });

async function probe(options: ConnectionOptions, backends: readonly number[]): Promise<Probe> {
  const { watch: _, ...unwatched } = options;
  const client = new Client({ ...unwatched, statementTimeoutMs: options.silentMs });
  client.on('error', ignore);
  const timer = setTimeout(
    () => client.abandon('a probe has had no answer'),
    (options.connectionTimeoutMillis ?? 0) + options.silentMs,
  );
  try {
    await client.connect();
    const { rows } = await client.query<{ pid: number }>(WORKING_BACKENDS, [backends]);
    return { kind: 'answered', working: new Set(rows.map(({ pid }) => pid)) };
  } catch (error) {
    // An answer, such as too many clients.
    return error instanceof pg.DatabaseError ? { kind: 'refused' } : { kind: 'silent' };
  } finally {
    clearTimeout(timer);
    void client.end().catch(ignore);
  }
}

/** What TypeORM takes for `pg`. */
export const postgresDriver = { ...pg, Client, Pool };

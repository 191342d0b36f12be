import pg from 'pg';

/** SQLSTATE `connection_failure`. */
const CONNECTION_FAILURE = '08006';

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

/** Calls a method of pg, which settles through a callback or a promise, and passes its error on. */
function passingErrors(
  method: Method,
  args: unknown[],
  change: (error: unknown) => unknown,
): unknown {
  const callback = args.at(-1);
  if (typeof callback === 'function') {
    const changed: Callback = (error, ...results) =>
      (callback as Callback)(error ? change(error) : error, ...results);
    return method(...args.slice(0, -1), changed);
  }
  const result = method(...args);
  return result instanceof Promise
    ? result.catch((error: unknown) => {
        throw change(error);
      })
    : result;
}

class Client extends pg.Client {
  private isUsable = true;

  /** An `error` event says that the connection is lost; statements in flight fail with the same one. */
  override emit(name: string | symbol, ...args: unknown[]): boolean {
    if (name === 'error') {
      this.isUsable = false;
      withCode(args[0]);
    }
    return super.emit(name, ...args);
  }

  override connect = ((...args: unknown[]) =>
    passingErrors(super.connect.bind(this) as Method, args, withCode)) as pg.Client['connect'];

  override query = ((...args: unknown[]) =>
    passingErrors(super.query.bind(this) as Method, args, (error) =>
      this.isUsable ? error : withCode(error),
    )) as pg.Client['query'];

  override end = ((...args: unknown[]) => {
    this.isUsable = false;
    return (super.end.bind(this) as Method)(...args);
  }) as pg.Client['end'];
}

class Pool extends pg.Pool {
  constructor(options?: pg.PoolConfig) {
    super({ ...options, Client });
  }

  override connect = ((...args: unknown[]) =>
    passingErrors(super.connect.bind(this) as Method, args, withCode)) as pg.Pool['connect'];
}

/** What TypeORM takes for `pg`. */
export const postgresDriver = { ...pg, Client, Pool };

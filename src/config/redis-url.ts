/** Where a Redis is, and as whom to log in. */
export interface RedisAddress {
  host: string;
  port: number;
  /** Of Redis 6 and later; absent: the user `default`. */
  username?: string;
  password?: string;
  /** Number of the logical database. */
  db: number;
  /** `rediss://`: TLS from the first byte. */
  tls: boolean;
}

const DEFAULT_PORT = 6379;
const MAX_DB = 1_000_000;

/** What is wrong with a URL for {@link redisAddressOf}; never with the URL itself, which may have a password. */
export const REDIS_URL_PROBLEM =
  'must be redis://[user:password@]host[:port][/db], or rediss:// for TLS, without parameters; ' +
  'special characters of user and password are percent-encoded';

/** Undefined: the URL names no Redis. */
export function redisAddressOf(text: string): RedisAddress | undefined {
  if (!URL.canParse(text)) return undefined;
  const url = new URL(text);
  const db = /^\/?(\d*)$/.exec(url.pathname)?.[1];
  const username = decoded(url.username);
  const password = decoded(url.password);
  const isPlain = url.search === '' && url.hash === '' && url.hostname !== '';
  if (!['redis:', 'rediss:'].includes(url.protocol) || !isPlain) return undefined;
  if (db === undefined || Number(db) > MAX_DB) return undefined;
  if (username === undefined || password === undefined) return undefined;
  return {
    host: url.hostname.replace(/^\[|\]$/g, ''),
    port: Number(url.port || DEFAULT_PORT),
    ...(username !== '' && { username }),
    ...(password !== '' && { password }),
    db: Number(db),
    tls: url.protocol === 'rediss:',
  };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

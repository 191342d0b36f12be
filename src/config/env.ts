import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import { z } from 'zod';
import { ownerId } from '../shared/zod-fields.js';
import { PRINCIPAL_ROLES, type PrincipalRole } from '../shared/roles.js';
import { developmentSecrets } from './development-secrets.js';
import { commaList, flag, isCidr } from './env-fields.js';
import { OUTBOUND_KEYS, type OutboundConfig, outboundConfig } from './outbound-env.js';
import { REDIS_URL_PROBLEM, redisAddressOf } from './redis-url.js';
import { unknownSettings } from './unknown-settings.js';

/**
 * The only reader of the environment. All keys are checked at once, so that a bad configuration stops
 * the start with the name of every invalid key. `.env.example` documents the same keys; a test compares
 * the two.
 */

const positiveInt = (max: number, min = 1) =>
  z
    .string()
    .regex(/^\d+$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().int().min(min).max(max));

const url = (...protocols: string[]) =>
  z.string().refine(
    (value) => {
      return URL.canParse(value) && protocols.includes(new URL(value).protocol);
    },
    `must be a URL that starts with ${protocols.map((p) => `${p}//`).join(' or ')}`,
  );

const origin = z
  .string()
  .refine(
    (value) => value === '*' || (URL.canParse(value) && new URL(value).origin === value),
    'must be origins such as https://app.example.com, separated by commas, or *',
  );

export const ROLES = ['api', 'worker', 'realtime'] as const;
export type Role = (typeof ROLES)[number];

/** An incomplete IPv4 address: no name ends in a number (URL Standard, 3.5). */
const NUMBERS = /(^|\.)\d+$/;
const HOST_NAME = /^[a-z\d]([a-z\d.-]*[a-z\d])?$/i;

const MAX_PROXIES = 10;

/** A number, or a list. */
const proxies = commaList
  .transform((values) => (values.length === 1 && /^\d+$/.test(values[0]!) ? +values[0]! : values))
  .refine(
    (given) =>
      typeof given === 'number'
        ? given <= MAX_PROXIES
        : given.every((value) => isIP(value) !== 0 || isCidr(value)),
    `must be addresses or CIDR blocks such as 10.0.0.0/8, separated by commas, or a number of proxies up to ${MAX_PROXIES}`,
  );

const LOG_LEVELS = ['fatal', 'error', 'warn', 'log', 'debug', 'verbose'] as const;

const secretsKey = z
  .string()
  .transform((value) => Buffer.from(value, 'base64'))
  .refine((key) => key.length === 32, 'must be 32 bytes in base64 (openssl rand -base64 32)');

const Environment = z.object({
  NODE_ENV: z.enum(['development', 'production', 'test']).default('development'),
  PORT: z
    .string()
    .regex(/^\d+$/, 'must be a port number, or 0 for any free one')
    .transform(Number)
    .pipe(z.number().max(65_535))
    .default(3000),
  HOST: z
    .string()
    .refine(
      (value) => isIP(value) !== 0 || (HOST_NAME.test(value) && !NUMBERS.test(value)),
      'must be the address or name of a network interface, such as 127.0.0.1 or ::',
    )
    .optional(),
  TRUSTED_PROXIES: proxies.default([]),
  ROLES: commaList
    .pipe(z.array(z.enum(ROLES, `must be some of ${ROLES.join(', ')}`)).min(1))
    .default([...ROLES]),
  DATABASE_URL: url('postgres:', 'postgresql:').optional(),
  DATABASE_DIRECT_URL: url('postgres:', 'postgresql:').optional(),
  DATA_DIR: z.string().min(1).default('.tidings'),
  REDIS_URL: z
    .string()
    .refine((value) => redisAddressOf(value) !== undefined, REDIS_URL_PROBLEM)
    .optional(),
  JWT_SECRET: z.string().min(16, 'must have at least 16 characters').optional(),
  JWT_PUBLIC_KEY: z
    .string()
    .regex(/-----BEGIN (RSA )?PUBLIC KEY-----/, 'must be a public key in PEM form')
    .optional(),
  JWT_JWKS_URL: url('https:', 'http:').optional(),
  JWT_ISSUER: z.string().min(1).optional(),
  JWT_AUDIENCE: z.string().min(1).optional(),
  JWT_TENANT_CLAIM: z.string().min(1).max(256).default('tenant'),
  JWT_DEFAULT_ROLES: commaList
    .pipe(z.array(z.enum(PRINCIPAL_ROLES, `must be some of ${PRINCIPAL_ROLES.join(', ')}`)).min(1))
    .default(['manager', 'publisher', 'subscriber']),
  SECRETS_KEY: secretsKey.optional(),
  ...OUTBOUND_KEYS,
  DELIVERY_TIMEOUT_MS: positiveInt(60_000).default(30_000),
  DELIVERY_RETRY_SCHEDULE_MS: commaList
    .pipe(z.array(positiveInt(86_400_000 * 7)).max(50))
    .default([1_000, 5_000, 30_000, 300_000, 1_800_000]),
  DELIVERY_CONCURRENCY: positiveInt(10_000).default(512),
  DELIVERY_MAX_PER_WEBHOOK: positiveInt(1_000).default(10),
  DELIVERY_REDRIVE_MAX_OPEN: positiveInt(10_000).default(1_000),
  BREAKER_FAILURE_THRESHOLD: positiveInt(1_000_000).default(5),
  BREAKER_OPEN_MS: positiveInt(86_400_000).default(300_000),
  BREAKER_DISABLE_AFTER_MS: positiveInt(86_400_000 * 365).default(86_400_000 * 5),
  REALTIME_ALLOWED_ORIGINS: commaList.pipe(z.array(origin)).default([]),
  REALTIME_MAX_CONNECTIONS: positiveInt(1_000_000).default(20_000),
  REALTIME_MAX_CONNECTIONS_PER_IP: positiveInt(1_000_000).default(10_000),
  REALTIME_MAX_CONNECTIONS_PER_USER: positiveInt(1_000_000).default(10_000),
  REALTIME_MAX_CONNECTIONS_PER_TENANT: positiveInt(1_000_000).optional(),
  REALTIME_GUESTS: ownerId.optional(),
  REALTIME_MAX_GUESTS: positiveInt(1_000_000).default(1_000),
  REALTIME_MAX_GUESTS_PER_IP: positiveInt(1_000_000).default(100),
  REALTIME_GUEST_MESSAGES_PER_SECOND: positiveInt(10_000).default(5),
  REALTIME_MAX_HANDSHAKES_PER_IP: positiveInt(1_000_000).default(500),
  REALTIME_MESSAGES_PER_SECOND: positiveInt(10_000).default(50),
  REALTIME_HEARTBEAT_MS: positiveInt(300_000).default(30_000),
  REALTIME_STATS_INTERVAL_MS: positiveInt(86_400_000, 0).default(60_000),
  WEBHOOKS_MAX_PER_OWNER: positiveInt(1_000_000).default(10_000),
  EVENT_RETENTION_DAYS: positiveInt(3_650).default(30),
  AUDIT_RETENTION_DAYS: positiveInt(3_650).optional(),
  IDEMPOTENCY_KEY_HOURS: positiveInt(8_760, 24).default(72),
  SWAGGER_UI: flag.optional(),
  LOG_LEVEL: z
    .string()
    .toLowerCase()
    // What most programs call it.
    .transform((level) => (level === 'info' ? 'log' : level))
    .pipe(z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')} or info`))
    .default('log'),
});
type Environment = z.infer<typeof Environment>;

/** The keys that are read; each may also be given as `<KEY>_FILE`, the path of a file that holds it. */
export const ENVIRONMENT_KEYS = Object.keys(Environment.shape) as (keyof Environment)[];

const Production = (env: Environment): [key: keyof Environment, problem: string][] => {
  const problems: [keyof Environment, string][] = [];
  if (!env.DATABASE_URL)
    problems.push(['DATABASE_URL', 'is required: production embeds no database']);
  if (!env.JWT_SECRET && !env.JWT_PUBLIC_KEY && !env.JWT_JWKS_URL) {
    problems.push(['JWT_SECRET', 'or JWT_PUBLIC_KEY or JWT_JWKS_URL is required in production']);
  }
  if (env.JWT_SECRET && env.JWT_SECRET.length < 32) {
    problems.push(['JWT_SECRET', 'must have at least 32 characters in production (RFC 7518, 3.2)']);
  }
  if (!env.SECRETS_KEY) problems.push(['SECRETS_KEY', 'is required in production']);
  if (env.OUTBOUND_ALLOW_HTTP) {
    problems.push(['OUTBOUND_ALLOW_HTTP', 'must not be true: production sends to https only']);
  }
  return problems;
};

/** How tokens are verified; exactly one of the three keys is set. */
export interface AuthConfig {
  /** Shared secret of HS256 tokens. */
  secret?: string;
  /** The same, where it was not configured but generated: a token of it may be shown at the start. */
  developmentSecret?: string;
  /** PEM public key of RS256/ES256/… tokens. */
  publicKey?: string;
  /** Address of a JSON Web Key Set (RFC 7517), fetched and cached by key id. */
  jwksUrl?: string;
  issuer?: string;
  audience?: string;
  /** Name of the claim that has the tenant. */
  tenantClaim: string;
  /** Of tokens without the claim `roles`. */
  defaultRoles: readonly PrincipalRole[];
}

export interface DeliveryConfig {
  /** Of a whole attempt, from DNS to the end of the response, unless the webhook sets its own. */
  timeoutMs: number;
  /** Waits before attempts 2, 3, …; after the last one the delivery is a dead letter. */
  retryScheduleMs: number[];
  /** Most requests in flight on this node. */
  concurrency: number;
  /** Most requests in flight to one webhook, shared evenly by all workers; at least one for each. */
  maxPerWebhook: number;
  /** Most pending deliveries of one bulk redrive or replay, per webhook. */
  redriveMaxOpen: number;
}

export interface BreakerConfig {
  /** Failures in a row, over all nodes, that open the circuit of a webhook. */
  failureThreshold: number;
  /** How long it stays open before a probe is allowed, in milliseconds. */
  openMs: number;
  /** A webhook that has had nothing but failures for so many milliseconds is switched off. */
  disableAfterMs: number;
}

export interface RealtimeConfig {
  /** Origins of pages on other hosts that may connect, e.g. `https://app.example.com`; `*`: all. */
  allowedOrigins: string[];
  /** Most open connections to this node: in all, from one address, of one user, and of one tenant. */
  maxConnections: number;
  maxConnectionsPerIp: number;
  maxConnectionsPerUser: number;
  maxConnectionsPerTenant: number;
  /** Clients without a credential; undefined: they are refused. */
  guests?: GuestsConfig;
  /** Most clients of one address that have not been authenticated yet, to this node. */
  maxHandshakesPerIp: number;
  /** Messages that one connection may send per second in the long run; twice as many at once. */
  messagesPerSecond: number;
  /** Milliseconds between two heartbeats of a plain WebSocket; half of it for event streams. */
  heartbeatMs: number;
  /** Milliseconds between two `broadcast-stats` events of a node; 0: none. */
  statsIntervalMs: number;
}

/** Live clients without a credential. */
export interface GuestsConfig {
  /** The tenant whose guests they are. */
  ownerId: string;
  /** Most of them on this node, apart from the connections of users: in all, and from one address. */
  maxConnections: number;
  maxConnectionsPerIp: number;
  /** Messages that one may send per second in the long run; twice as many at once. */
  messagesPerSecond: number;
}

export interface WebhooksConfig {
  /** Most webhooks that one owner may have; deleted ones do not count. */
  maxPerOwner: number;
}

export interface RetentionConfig {
  /** Days for which the log keeps an event, with its deliveries and their attempts. */
  eventDays: number;
  /** Days for which the audit log keeps an entry. */
  auditDays: number;
  /** Hours for which the same Idempotency-Key gives the same answer. */
  idempotencyKeyHours: number;
}

export interface Config {
  /** What the operator should look at, one line each: variables that seem to be misspelt settings. */
  warnings: string[];
  production: boolean;
  port: number;
  /** The address or name to listen on; undefined: every address, IPv4 and IPv6. */
  host?: string;
  /**
   * The proxies whose `X-Forwarded-For` and `X-Forwarded-Host` are believed: how many every request
   * passes, or their addresses and CIDR blocks.
   */
  trustedProxies: number | readonly string[];
  roles: ReadonlySet<Role>;
  logLevel: (typeof LOG_LEVELS)[number];
  /** Whether the pages of `/docs` are served; the documents are in any case. */
  swaggerUi: boolean;
  /** Undefined: run the embedded PostgreSQL below `dataDir`. */
  databaseUrl?: string;
  /** Leads to the server itself where `databaseUrl` is a pooler's; undefined: so does that one. */
  databaseDirectUrl?: string;
  dataDir: string;
  /** Undefined: this is the only node, and events are handed over in memory. */
  redisUrl?: string;
  auth: AuthConfig;
  /** 32 bytes; encrypts webhook secrets and headers at rest (AES-256-GCM). */
  secretsKey: Buffer;
  outbound: OutboundConfig;
  delivery: DeliveryConfig;
  realtime: RealtimeConfig;
  breaker: BreakerConfig;
  retention: RetentionConfig;
  webhooks: WebhooksConfig;
}

/** Every invalid key, one line each; nothing has been started when this is thrown. */
export class ConfigError extends Error {
  constructor(readonly problems: string[]) {
    super(`The configuration is not usable:\n${problems.map((p) => `  - ${p}`).join('\n')}`);
    this.name = 'ConfigError';
  }
}

/** Reads, checks and groups the environment. @throws ConfigError naming every invalid key */
export function loadConfig(source: NodeJS.ProcessEnv = process.env): Config {
  const problems: string[] = [];
  const parsed = Environment.safeParse(withFiles(source, problems));
  for (const { path, message } of parsed.error?.issues ?? []) {
    problems.push(`${givenAs(String(path[0]), source)} ${message}`);
  }
  if (parsed.success) {
    const env = parsed.data;
    if (env.NODE_ENV === 'production') {
      problems.push(...Production(env).map(([key, problem]) => `${key} ${problem}`));
    }
    const verifiers = [env.JWT_SECRET, env.JWT_PUBLIC_KEY, env.JWT_JWKS_URL].filter(Boolean);
    if (verifiers.length > 1) {
      problems.push('JWT_SECRET, JWT_PUBLIC_KEY and JWT_JWKS_URL exclude each other: set one');
    }
    if (problems.length === 0) {
      const warnings = unknownSettings(source, ENVIRONMENT_KEYS);
      if (env.NODE_ENV === 'production' && env.REALTIME_GUESTS !== undefined) {
        warnings.push(GUESTS_WARNING);
      }
      return { ...grouped(env), warnings };
    }
  }
  throw new ConfigError(problems);
}

const GUESTS_WARNING =
  'REALTIME_GUESTS is set: live clients without a credential are let in, and receive public events and ' +
  'messages of that tenant';

/** The name under which a value was given. */
const givenAs = (key: string, source: NodeJS.ProcessEnv): string =>
  !source[key] && source[`${key}_FILE`] ? `${key}_FILE` : key;

/** The database for the command line, which needs nothing else. @throws ConfigError */
export function loadDatabaseUrl(source: NodeJS.ProcessEnv = process.env): string {
  const problems: string[] = [];
  const keys = ['DATABASE_URL', 'DATABASE_DIRECT_URL'] as const;
  const given = withFiles(source, problems, keys);
  const parsed = Environment.pick({ DATABASE_URL: true, DATABASE_DIRECT_URL: true }).safeParse(
    given,
  );
  problems.push(...(parsed.error?.issues ?? []).map((i) => `${String(i.path[0])} ${i.message}`));
  const database = parsed.data?.DATABASE_DIRECT_URL ?? parsed.data?.DATABASE_URL;
  if (problems.length === 0 && database !== undefined) return database;
  if (problems.length === 0)
    problems.push('DATABASE_URL is required: the embedded database migrates itself');
  throw new ConfigError(problems);
}

/** Empty means unset, so that `KEY=` in a compose file leaves the default; only then `KEY_FILE` is read. */
function withFiles(
  source: NodeJS.ProcessEnv,
  problems: string[],
  keys: readonly (keyof Environment)[] = ENVIRONMENT_KEYS,
): Record<string, string> {
  const values: Record<string, string> = {};
  for (const key of keys) {
    const file = source[`${key}_FILE`];
    const direct = source[key];
    if (direct) values[key] = direct;
    if (!file) continue;
    if (direct) {
      problems.push(`${key} and ${key}_FILE are both set: set one`);
      continue;
    }
    try {
      values[key] = readFileSync(file, 'utf8').trim();
    } catch (error) {
      problems.push(`${key}_FILE cannot be read: ${(error as NodeJS.ErrnoException).code}`);
    }
  }
  return values;
}

/** A quarter of all, so that one tenant cannot take them; at least what one of its users may have. */
const shareOfTenant = (env: Environment): number =>
  Math.max(Math.ceil(env.REALTIME_MAX_CONNECTIONS / 4), env.REALTIME_MAX_CONNECTIONS_PER_USER);

function grouped(env: Environment): Omit<Config, 'warnings'> {
  const production = env.NODE_ENV === 'production';
  const hasVerifier = env.JWT_SECRET ?? env.JWT_PUBLIC_KEY ?? env.JWT_JWKS_URL;
  // Only where something is missing: with all secrets given, no file is written.
  const development = hasVerifier && env.SECRETS_KEY ? undefined : developmentSecrets(env.DATA_DIR);
  return {
    production,
    port: env.PORT,
    host: env.HOST,
    trustedProxies: env.TRUSTED_PROXIES,
    roles: new Set(env.ROLES),
    logLevel: env.LOG_LEVEL,
    swaggerUi: env.SWAGGER_UI ?? !production,
    databaseUrl: env.DATABASE_URL,
    databaseDirectUrl: env.DATABASE_DIRECT_URL,
    dataDir: env.DATA_DIR,
    redisUrl: env.REDIS_URL,
    auth: {
      secret: hasVerifier ? env.JWT_SECRET : development?.jwtSecret,
      developmentSecret: hasVerifier ? undefined : development?.jwtSecret,
      publicKey: env.JWT_PUBLIC_KEY,
      jwksUrl: env.JWT_JWKS_URL,
      issuer: env.JWT_ISSUER,
      audience: env.JWT_AUDIENCE,
      tenantClaim: env.JWT_TENANT_CLAIM,
      defaultRoles: env.JWT_DEFAULT_ROLES,
    },
    secretsKey: env.SECRETS_KEY ?? development!.secretsKey,
    outbound: outboundConfig(env, production),
    delivery: {
      timeoutMs: env.DELIVERY_TIMEOUT_MS,
      retryScheduleMs: env.DELIVERY_RETRY_SCHEDULE_MS,
      concurrency: env.DELIVERY_CONCURRENCY,
      maxPerWebhook: env.DELIVERY_MAX_PER_WEBHOOK,
      redriveMaxOpen: env.DELIVERY_REDRIVE_MAX_OPEN,
    },
    realtime: {
      allowedOrigins: env.REALTIME_ALLOWED_ORIGINS,
      maxConnections: env.REALTIME_MAX_CONNECTIONS,
      maxConnectionsPerIp: env.REALTIME_MAX_CONNECTIONS_PER_IP,
      maxConnectionsPerUser: env.REALTIME_MAX_CONNECTIONS_PER_USER,
      maxConnectionsPerTenant: env.REALTIME_MAX_CONNECTIONS_PER_TENANT ?? shareOfTenant(env),
      ...(env.REALTIME_GUESTS !== undefined && {
        guests: {
          ownerId: env.REALTIME_GUESTS,
          maxConnections: env.REALTIME_MAX_GUESTS,
          maxConnectionsPerIp: env.REALTIME_MAX_GUESTS_PER_IP,
          messagesPerSecond: env.REALTIME_GUEST_MESSAGES_PER_SECOND,
        },
      }),
      maxHandshakesPerIp: env.REALTIME_MAX_HANDSHAKES_PER_IP,
      messagesPerSecond: env.REALTIME_MESSAGES_PER_SECOND,
      heartbeatMs: env.REALTIME_HEARTBEAT_MS,
      statsIntervalMs: env.REALTIME_STATS_INTERVAL_MS,
    },
    breaker: {
      failureThreshold: env.BREAKER_FAILURE_THRESHOLD,
      openMs: env.BREAKER_OPEN_MS,
      disableAfterMs: env.BREAKER_DISABLE_AFTER_MS,
    },
    webhooks: { maxPerOwner: env.WEBHOOKS_MAX_PER_OWNER },
    retention: {
      eventDays: env.EVENT_RETENTION_DAYS,
      auditDays: env.AUDIT_RETENTION_DAYS ?? env.EVENT_RETENTION_DAYS,
      idempotencyKeyHours: env.IDEMPOTENCY_KEY_HOURS,
    },
  };
}

import { isIP, isIPv6 } from 'node:net';
import { z } from 'zod';
import { certificatesOf } from '../shared/certificates.js';
import { commaList, flag, isCidr } from './env-fields.js';

/** Keys of the environment that say where outgoing requests may go, and how. */

const cidr = z
  .string()
  .refine(isCidr, 'must be CIDR blocks such as 127.0.0.0/8, separated by commas');

const serverAddress = z.string().refine((value) => {
  const [, address = value, port = '53'] = /^\[?([^\]]*?)\]?:(\d{1,5})$/.exec(value) ?? [];
  const isAddress =
    isIP(value) !== 0 || (isIP(address) === 6 ? value.startsWith('[') : isIP(address) === 4);
  return isAddress && +port >= 1 && +port <= 65_535;
}, 'must be addresses such as 10.0.0.2 or [fd00::2]:5353, separated by commas');

/** The lengths that RFC 6052, 2.2 defines. */
const NAT64_PREFIX = /^[\da-f:.]+\/(32|40|48|56|64|96)$/i;

const nat64Prefix = z
  .string()
  .refine(
    (value) => NAT64_PREFIX.test(value) && isIPv6(value.slice(0, value.indexOf('/'))),
    'must be IPv6 prefixes of 32, 40, 48, 56, 64 or 96 bits such as 2001:db8:64::/96, separated by commas',
  );

const PORTS = 'must be port numbers from 1 to 65535, separated by commas, or any';

const port = z
  .string()
  .regex(/^\d{1,5}$/, PORTS)
  .transform(Number)
  .pipe(z.number().min(1, PORTS).max(65_535, PORTS));

const ports = z.union(
  [z.literal('any'), commaList.pipe(z.array(port, PORTS).min(1, PORTS))],
  PORTS,
);

/** A bundle of all public ones has about 150. */
const MAX_AUTHORITIES = 1_000;

const certificates = z.string().superRefine((value, context) => {
  const parsed = certificatesOf(value, MAX_AUTHORITIES);
  if (typeof parsed === 'string') context.addIssue({ code: 'custom', message: parsed });
});

const PROXY =
  'must be http://host:port or https://host:port, with user:password@ if it requires that';

const proxy = z.string().transform((value, context) => {
  const parsed = parseProxy(value);
  if (parsed) return parsed;
  // Without the value, which may hold a password.
  context.addIssue({ code: 'custom', message: PROXY });
  return z.NEVER;
});

/** The shape of these keys within the environment. */
export const OUTBOUND_KEYS = {
  OUTBOUND_ALLOW_HTTP: flag.optional(),
  OUTBOUND_ALLOW_CIDRS: commaList.pipe(z.array(cidr)).default([]),
  OUTBOUND_NAT64_PREFIXES: commaList.pipe(z.array(nat64Prefix)).default([]),
  OUTBOUND_PORTS: ports.optional(),
  OUTBOUND_DNS_SERVERS: commaList.pipe(z.array(serverAddress)).optional(),
  OUTBOUND_CA: certificates.optional(),
  OUTBOUND_PROXY: proxy.optional(),
};

/** Ports that requests may go to; `unprivileged`: 80, 443 and those from 1024 up. */
export type OutboundPorts = 'any' | 'unprivileged' | readonly number[];

/** A forward proxy that opens tunnels (HTTP CONNECT). */
export interface OutboundProxy {
  /** `http:` or `https:`: how the proxy itself is reached. */
  protocol: string;
  hostname: string;
  port: number;
  /** The value of `Proxy-Authorization`; a secret. */
  authorization?: string;
}

export interface OutboundConfig {
  /** Whether webhooks may have `http:` addresses. */
  allowHttp: boolean;
  /** Blocks that may be reached although they are not public. Metadata addresses never are. */
  allowCidrs: readonly string[];
  /** Prefixes of the network's own NAT64 (RFC 6052); addresses in them are judged as IPv4. */
  nat64Prefixes?: readonly string[];
  /** Absent: `unprivileged`. */
  ports?: OutboundPorts;
  /** Name servers for the hosts of webhooks, with port if it is not 53; undefined: the system's. */
  dnsServers?: string[] | undefined;
  /** PEM certificates of authorities that are trusted besides the public ones. */
  ca?: string;
  /** Absent: connections are made directly. */
  proxy?: OutboundProxy;
}

/** Contract, section 5. */
const PRODUCTION_PORTS: OutboundPorts = [80, 443, 8080, 8443];

/** Groups the keys of {@link OUTBOUND_KEYS}. */
export function outboundConfig(
  env: z.infer<z.ZodObject<typeof OUTBOUND_KEYS>>,
  production: boolean,
): OutboundConfig {
  return {
    allowHttp: env.OUTBOUND_ALLOW_HTTP ?? !production,
    allowCidrs: env.OUTBOUND_ALLOW_CIDRS,
    nat64Prefixes: env.OUTBOUND_NAT64_PREFIXES,
    ports: env.OUTBOUND_PORTS ?? (production ? PRODUCTION_PORTS : 'unprivileged'),
    dnsServers: env.OUTBOUND_DNS_SERVERS,
    ca: env.OUTBOUND_CA,
    proxy: env.OUTBOUND_PROXY,
  };
}

const PROXY_PORTS: Record<string, number> = { 'http:': 80, 'https:': 443 };

function parseProxy(text: string): OutboundProxy | undefined {
  if (!/^https?:\/\/[^/?#\s]+\/?$/i.test(text) || !URL.canParse(text)) return undefined;
  const { protocol, hostname, port: given, username, password } = new URL(text);
  const credentials = decoded(`${username}:${password}`);
  if (credentials === undefined) return undefined;
  return {
    protocol,
    hostname: hostname.replace(/^\[|\]$/g, ''),
    port: given === '' ? PROXY_PORTS[protocol]! : Number(given),
    ...(credentials !== ':' && {
      authorization: `Basic ${Buffer.from(credentials).toString('base64')}`,
    }),
  };
}

function decoded(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

import { isIP } from 'node:net';
import type { OutboundPorts } from '../config/outbound-env.js';
import type { AddressDecision, AddressPolicy } from './address-policy.js';
import type { TlsSettings } from './tls-settings.js';

/**
 * Whether a text may become the URL of a webhook.
 *
 * This is feedback for the user who registers it, not the guard: a name can resolve differently
 * tomorrow, so the connector checks every address again when it connects. Total: never throws. The
 * `href` of an accepted URL is accepted again, unchanged.
 */
export type WebhookUrl = { ok: true; url: URL } | { ok: false; message: string };

export interface WebhookUrlRules {
  /** Whether `http:` is acceptable; `https:` always is. */
  allowHttp: boolean;
  policy: AddressPolicy;
  ports: OutboundPorts;
  /** Origins (`http://localhost:3000`) that are accepted although they are local, below these paths. */
  trustedOrigins?: ReadonlyMap<string, RegExp>;
}

/** Where a request goes; computed once per webhook, because parsing a URL per request is costly. */
export interface OutboundTarget {
  /** Scheme, host and port as {@link URL.origin} writes them. */
  origin: string;
  /** Path and query. */
  path: string;
  /** Certificates of the webhook; undefined: it has none. */
  tls?: TlsSettings;
}

const MAX_URL_LENGTH = 2048;
const MAX_HOST_LENGTH = 253;

/** Ports below this belong to system services, of which only 80 and 443 speak HTTP. */
const FIRST_USER_PORT = 1024;

const DEFAULT_PORTS: Record<string, number> = { 'http:': 80, 'https:': 443 };

/** The URL parser would remove some of these silently and split the text elsewhere than we do. */
const AMBIGUOUS = /[\p{Cc}\s\\]/u;

/** A scheme, a colon, exactly two slashes, and then a host: `http:x` and `http:///x` parse, too. */
const HTTP_URL = /^https?:\/\/(?<authority>[^/?#]+)/i;

const LABEL = /^(?!-)[a-z0-9_-]{1,63}(?<!-)$/;

const LOCAL_SUFFIXES = [
  'local',
  'localdomain',
  'internal',
  'intranet',
  'lan',
  'home',
  'corp',
  'private',
  'home.arpa',
  'svc',
];

/** Google serves its metadata under a name in a public zone. */
const METADATA_NAMES = new Set(['metadata.goog']);

/** Checks and normalises the URL of a webhook; a refusal names the reason and the setting, if any. */
export function parseWebhookUrl(raw: string, rules: WebhookUrlRules): WebhookUrl {
  const message = rawProblem(raw, rules);
  if (message !== undefined) return { ok: false, message };
  if (!URL.canParse(raw)) return { ok: false, message: 'is not a valid URL' };
  const url = new URL(raw);
  if (url.hostname.endsWith('.')) url.hostname = url.hostname.slice(0, -1);
  const problem = urlProblem(url, rules);
  return problem === undefined ? { ok: true, url } : { ok: false, message: problem };
}

/** The parts of a checked URL that a request needs. @param tls certificates of the webhook */
export function targetOf(url: URL, tls?: TlsSettings): OutboundTarget {
  const target = { origin: url.origin, path: url.pathname + url.search };
  return tls ? { ...target, tls } : target;
}

/** `localhost` and the names below it, which mean this machine on every machine (RFC 6761, 6.3). */
export function isLocalhostName(host: string): boolean {
  return host === 'localhost' || host.endsWith('.localhost');
}

/** Problems that are visible only in the raw text, because the URL parser would repair them. */
function rawProblem(raw: string, { allowHttp }: WebhookUrlRules): string | undefined {
  if (raw.length > MAX_URL_LENGTH) return `is longer than ${MAX_URL_LENGTH} characters`;
  if (AMBIGUOUS.test(raw)) return 'contains white space, a control character or a backslash';
  const authority = HTTP_URL.exec(raw)?.groups?.authority;
  if (authority === undefined) {
    return allowHttp ? 'must begin with https:// or http://' : 'must begin with https://';
  }
  if (!allowHttp && /^http:/i.test(raw)) {
    // No hint at the setting: production refuses it, and elsewhere it was set on purpose.
    return 'must begin with https://';
  }
  if (authority.includes('@')) {
    return 'must not contain a user name or password; use a header instead';
  }
  return raw.includes('#') ? 'must not contain a fragment (#)' : undefined;
}

function urlProblem(url: URL, rules: WebhookUrlRules): string | undefined {
  if (url.href.length > MAX_URL_LENGTH) return `is longer than ${MAX_URL_LENGTH} characters`;
  if (rules.trustedOrigins?.get(url.origin)?.test(url.pathname + url.search)) return undefined;
  const port = portProblem(url, rules.ports);
  if (port !== undefined) return port;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  return isIP(host) === 0
    ? nameProblem(host, rules.policy)
    : addressProblem(host, rules.policy.check(host));
}

/** The parts of a URL that say which port it means. */
type WithPort = Pick<URL, 'protocol' | 'port'>;

/** The port of a URL, also if it is the default of its scheme. */
export const portOf = ({ protocol, port }: WithPort): number =>
  port === '' ? DEFAULT_PORTS[protocol]! : Number(port);

/** What is wrong with the port of a URL; undefined when requests may go to it. */
export function portProblem(url: WithPort, allowed: OutboundPorts): string | undefined {
  const number = portOf(url);
  if (number === 0) return 'must not use port 0';
  if (allowed === 'any') return undefined;
  if (allowed === 'unprivileged') {
    const isUsable = number === 80 || number === 443 || number >= FIRST_USER_PORT;
    return isUsable ? undefined : 'must use port 80, 443 or one from 1024 up';
  }
  if (allowed.includes(number)) return undefined;
  return `must use one of the ports ${allowed.join(', ')} (an operator can allow others with OUTBOUND_PORTS)`;
}

function nameProblem(host: string, policy: AddressPolicy): string | undefined {
  if (host.length > MAX_HOST_LENGTH) return `has a host longer than ${MAX_HOST_LENGTH} characters`;
  const labels = host.split('.');
  if (!labels.every((label) => LABEL.test(label))) return 'has a host that is not a valid name';
  if (isLocalhostName(host)) return addressProblem(host, policy.check('127.0.0.1'));
  if (METADATA_NAMES.has(host)) return `points to ${host}, which is never allowed`;
  if (labels.length === 1 || LOCAL_SUFFIXES.some((suffix) => host.endsWith(`.${suffix}`))) {
    return `has the host ${host}, a name of a local network; use a public name`;
  }
  return undefined;
}

function addressProblem(host: string, decision: AddressDecision): string | undefined {
  if (decision.allowed) return undefined;
  switch (decision.reason) {
    case 'metadata':
      return `points to ${host}, which is never allowed`;
    case 'loopback':
      return `points to ${host}, this machine itself (for development, set OUTBOUND_ALLOW_CIDRS=${loopbackBlock(host)})`;
    default:
      return `points to ${host}, which is not a public address (an operator can allow it with OUTBOUND_ALLOW_CIDRS)`;
  }
}

const loopbackBlock = (host: string) => (host === '::1' ? '::1/128' : '127.0.0.0/8');

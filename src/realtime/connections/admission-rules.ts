/** Which pages may connect, and how many connections there may be. */
import { type Principal, userKey } from '../../auth/principal.js';
import { AppError } from '../../shared/app-error.js';
import type { CloseReason } from '../close-codes.js';
import type { Limits } from '../protocol.js';

/** From which page a client connects. */
export interface Page {
  /** The header; undefined: not a browser. */
  origin: string | undefined;
  /**
   * The host that was asked for: its own pages may always connect. Schemes are not compared: behind a
   * proxy that ends TLS the server does not know its own.
   */
  host: string | undefined;
  /** `Sec-Fetch-Site` (Fetch Metadata), which no page can set: what the browser itself compared. */
  site?: string | undefined;
}

/**
 * Whether a page may connect. Browsers say where a page comes from and let any page open WebSockets
 * anywhere; other clients send no `Origin`, and need none, because a credential is never taken from a
 * cookie.
 *
 * @param allowed origins such as `https://app.example.com`; `*` allows all, also `null`
 */
export function isAllowedOrigin({ origin, host, site }: Page, allowed: readonly string[]): boolean {
  if (origin === undefined || allowed.includes('*')) return true;
  if (!URL.canParse(origin)) return false;
  // A proxy may have replaced `Host` by a name of its own; the browser knows what it has asked for.
  if (site === 'same-origin') return true;
  const page = new URL(origin);
  return allowed.includes(page.origin) || page.host === hostOf(page.protocol, host);
}

/** As a URL of that scheme writes it: without the default port, in lower case. */
function hostOf(protocol: string, host: string | undefined): string | undefined {
  const url = `${protocol}//${host}`;
  return host !== undefined && host !== '' && URL.canParse(url) ? new URL(url).host : undefined;
}

/** Counts connections, so that no address, user or tenant can use up all of them. */
export class ConnectionLimits {
  private total = 0;
  private readonly perIp = new Map<string, number>();
  private readonly perUser = new Map<string, number>();
  private readonly perTenant = new Map<string, number>();

  constructor(
    private readonly limits: Pick<
      Limits,
      'connections' | 'connectionsPerIp' | 'connectionsPerUser' | 'connectionsPerTenant'
    >,
  ) {}

  /**
   * Counts one more connection.
   *
   * @returns uncounts it; may be called again
   * @throws AppError `too_many_connections`
   */
  take(ip: string, principal: Pick<Principal, 'ownerId' | 'userId'>): () => void {
    const { ownerId } = principal;
    const user = userKey(principal);
    this.check(ip);
    const { connectionsPerUser, connectionsPerTenant } = this.limits;
    if (countOf(this.perUser, user) >= connectionsPerUser) throw full('This user');
    if (countOf(this.perTenant, ownerId) >= connectionsPerTenant) throw full('This tenant');
    const change = (by: 1 | -1) => {
      this.total += by;
      add(this.perIp, ip, by);
      add(this.perUser, user, by);
      add(this.perTenant, ownerId, by);
    };
    change(1);
    let isCounted = true;
    return () => {
      if (isCounted) change(-1);
      isCounted = false;
    };
  }

  /**
   * Whether there is a place for a client of which only the address is known.
   *
   * @throws AppError `too_many_connections`
   */
  check(ip: string): void {
    const { connections, connectionsPerIp } = this.limits;
    if (this.total >= connections) throw full('This process');
    if (countOf(this.perIp, ip) >= connectionsPerIp) throw full('This address');
  }
}

/** Counts clients that have not been authenticated yet: an address has a share, and there is a limit for all. */
export class Handshakes {
  private total = 0;
  private readonly perIp = new Map<string, number>();

  constructor(private readonly limits: { total: number; perIp: number }) {}

  /** @throws AppError `too_many_handshakes` */
  check(ip: string): void {
    const { total, perIp } = this.limits;
    if (this.total < total && countOf(this.perIp, ip) < perIp) return;
    throw new AppError(
      'unavailable',
      'too_many_handshakes' satisfies CloseReason,
      'Too many clients of this address are connecting. Try again later.',
    );
  }

  /**
   * Counts one more.
   *
   * @returns uncounts it; may be called again
   */
  begin(ip: string): () => void {
    this.change(ip, 1);
    let isCounted = true;
    return () => {
      if (isCounted) this.change(ip, -1);
      isCounted = false;
    };
  }

  private change(ip: string, by: 1 | -1): void {
    this.total += by;
    add(this.perIp, ip, by);
  }
}

const countOf = (counts: Map<string, number>, key: string): number => counts.get(key) ?? 0;

function add(counts: Map<string, number>, key: string, by: number): void {
  const count = countOf(counts, key) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}

const full = (what: string): AppError =>
  new AppError(
    'unavailable',
    'too_many_connections' satisfies CloseReason,
    `${what} has as many connections as it may have. Close one, or try again later.`,
  );

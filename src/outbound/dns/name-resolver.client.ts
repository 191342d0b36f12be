import type { LookupAddress } from 'node:dns';
import { readFileSync, statSync } from 'node:fs';
import { RingQueue } from '../../shared/ring-queue.js';
import { AttemptFailure, unsent } from '../attempt-result.js';
import type { Opener } from '../http1/connection.client.js';
import { AddressQuery, type QueryOptions } from './address-query.client.js';
import { parseHosts } from './hosts-file.js';
import { asLookupAddresses, type NameAnswer, NameCache } from './name-cache.js';

export interface NameResolverOptions extends QueryOptions {
  /** How long a lookup may wait for its turn; see {@link MAX_LOOKUPS_PER_OWNER}. */
  queueMs: number;
  /** The hosts file; the system's unless given. */
  hostsFile?: string;
}

export type ResolveCallback = (error: Error | null, addresses: LookupAddress[]) => void;

/**
 * Of one owner at the same time. Without a limit, names that never answer could keep as many questions
 * open as there are deliveries; with a common one, they would stop the lookups of the others.
 */
const MAX_LOOKUPS_PER_OWNER = 100;

const SYSTEM_HOSTS_FILE = '/etc/hosts';
/** A change of the hosts file takes effect this late at most. */
const HOSTS_CHECK_MS = 1_000;

/** Too many names of the owner are being looked up: nothing was asked, and nothing is sent. */
class LookupsExhaustedError extends AttemptFailure {
  readonly failure = unsent('dns_busy');
}

/** One name that is being looked up, for all connections that wait for it. */
interface Lookup {
  readonly hostname: string;
  readonly waiters: { opener: Opener; callback: ResolveCallback }[];
  /** Undefined while it waits for the turn of one of these owners. */
  query: AddressQuery | undefined;
  readonly queuedFor: Set<string>;
  queueLimit: NodeJS.Timeout | undefined;
  isOver: boolean;
}

interface Share {
  running: number;
  /** Those that another owner has started, or that were given up, are skipped. */
  readonly queue: RingQueue<Lookup>;
}

/**
 * Resolves the names of receivers: by the hosts file, from what DNS has answered lately, or by asking
 * DNS. Uses no thread: with `dns.lookup()`, four names whose servers are silent stop all others.
 *
 * It applies no address policy: each address is judged when it is connected to. Names are complete as
 * they are; search domains and other sources of the system (`nsswitch.conf`) are not used.
 */
export class NameResolver {
  private readonly cache = new NameCache();
  private readonly lookups = new Map<string, Lookup>();
  private readonly shares = new Map<string, Share>();
  private hosts = new Map<string, string[]>();
  private hostsVersion = '';
  private hostsCheckedMs = -Infinity;
  private isClosed = false;

  constructor(private readonly options: NameResolverOptions) {}

  /** Calls back once, and later; the opener is informed while its lookup has to wait for others. */
  resolve(hostname: string, opener: Opener, callback: ResolveCallback): void {
    const known = this.known(hostname);
    if (known) return process.nextTick(report, known, callback);
    const lookup = this.lookups.get(hostname) ?? this.create(hostname);
    lookup.waiters.push({ opener, callback });
    if (lookup.query) return;
    const { ownerKey } = opener;
    const share = this.shareOf(ownerKey);
    if (share.running < MAX_LOOKUPS_PER_OWNER) return this.start(lookup, ownerKey, share);
    opener.setQueued(true);
    lookup.queueLimit ??= setTimeout(() => this.giveUp(lookup), this.options.queueMs);
    if (lookup.queuedFor.has(ownerKey)) return;
    lookup.queuedFor.add(ownerKey);
    share.queue.push(lookup);
  }

  /** Ends what is being looked up, as failed, and looks up no more. */
  close(): void {
    this.isClosed = true;
    for (const lookup of this.lookups.values()) {
      lookup.query?.cancel();
      this.end(lookup, failed('ECANCELLED', 'The resolver is closed'));
    }
  }

  /** What need not be asked. */
  private known(hostname: string): NameAnswer | undefined {
    if (this.isClosed) return failed('ECANCELLED', 'The resolver is closed');
    const nowMs = performance.now();
    this.readHosts(nowMs);
    const addresses = this.hosts.get(hostname);
    if (addresses) return { kind: 'addresses', addresses, ttlMs: 0 };
    // Never asked for (RFC 6761, 6.4).
    if (hostname.endsWith('.invalid')) return failed('ENOTFOUND', `${hostname} does not exist`);
    return this.cache.get(hostname, nowMs);
  }

  /** Synchronous, so that it waits for no thread: two system calls a second at most. */
  private readHosts(nowMs: number): void {
    if (nowMs - this.hostsCheckedMs < HOSTS_CHECK_MS) return;
    this.hostsCheckedMs = nowMs;
    const file = this.options.hostsFile ?? SYSTEM_HOSTS_FILE;
    try {
      const { mtimeMs, size, ino } = statSync(file);
      const version = `${mtimeMs} ${size} ${ino}`;
      if (version === this.hostsVersion) return;
      this.hosts = parseHosts(readFileSync(file, 'utf8'));
      this.hostsVersion = version;
    } catch {
      // A system without the file has DNS only.
      this.hosts = new Map();
      this.hostsVersion = '';
    }
  }

  private create(hostname: string): Lookup {
    const lookup: Lookup = {
      hostname,
      waiters: [],
      query: undefined,
      queuedFor: new Set(),
      queueLimit: undefined,
      isOver: false,
    };
    this.lookups.set(hostname, lookup);
    return lookup;
  }

  private start(lookup: Lookup, ownerKey: string, share: Share): void {
    clearTimeout(lookup.queueLimit);
    if (lookup.queuedFor.size > 0) for (const { opener } of lookup.waiters) opener.setQueued(false);
    share.running++;
    lookup.query = new AddressQuery(lookup.hostname, this.options, (answer) => {
      this.cache.set(lookup.hostname, answer, performance.now());
      this.end(lookup, answer);
      share.running--;
      this.startNext(ownerKey, share);
    });
  }

  private startNext(ownerKey: string, share: Share): void {
    while (share.running < MAX_LOOKUPS_PER_OWNER) {
      const next = share.queue.shift();
      if (!next) break;
      if (!next.query && !next.isOver) this.start(next, ownerKey, share);
    }
    if (share.running === 0 && share.queue.size === 0) this.shares.delete(ownerKey);
  }

  private giveUp(lookup: Lookup): void {
    const error = new LookupsExhaustedError('Too many names are being looked up for one owner');
    this.end(lookup, { kind: 'failed', error, isSilence: false });
  }

  private end(lookup: Lookup, answer: NameAnswer): void {
    lookup.isOver = true;
    clearTimeout(lookup.queueLimit);
    this.lookups.delete(lookup.hostname);
    for (const { callback } of lookup.waiters) report(answer, callback);
  }

  private shareOf(ownerKey: string): Share {
    let share = this.shares.get(ownerKey);
    if (!share) {
      share = { running: 0, queue: new RingQueue() };
      this.shares.set(ownerKey, share);
    }
    return share;
  }
}

function report(answer: NameAnswer, callback: ResolveCallback): void {
  if (answer.kind === 'failed') callback(answer.error, []);
  else callback(null, asLookupAddresses(answer.addresses));
}

const failed = (code: string, message: string): NameAnswer => ({
  kind: 'failed',
  error: Object.assign(new Error(message), { code }),
  isSilence: false,
});

import { type RecordWithTtl, Resolver } from 'node:dns';
import { networkInterfaces } from 'node:os';
import type { NameAnswer } from './name-cache.js';

/** How a name is asked for. */
export interface QueryOptions {
  /** `address` or `address:port`; undefined: the servers of the system. */
  servers?: readonly string[] | undefined;
  /** For all tries together. */
  timeoutMs: number;
  /** After this, without an answer, the question is sent again, to the next server. */
  resendMs: number;
}

type Family = 4 | 6;
type QueryError = NodeJS.ErrnoException;

/** What one family has been answered; undefined: nothing yet. */
type FamilyAnswer = { records: RecordWithTtl[] } | { error: QueryError } | undefined;

/** With addresses of one family, so long is waited for the other one (RFC 8305, 3). */
const RESOLUTION_DELAY_MS = 50;

/** Each has a socket until the end of the query. */
const MAX_RESENDS = 2;

/** Of each family; more would only be tried if so many had failed. */
const MAX_ADDRESSES = 16;

/** The name, or addresses of this family, do not exist; says nothing about the server. */
const ABSENT = new Set(['ENOTFOUND', 'ENODATA']);

/**
 * Asks DNS for the addresses of a name, without a thread (c-ares). Calls back once, and later.
 *
 * Each try has a channel of its own. Within a channel, c-ares shortens its timeout to what servers
 * usually take, and does not accept an answer that comes after it has asked again: a name that takes
 * two seconds would never be resolved. A new channel also reads the configuration of the system again.
 */
export class AddressQuery {
  private readonly resolvers: Resolver[] = [];
  private readonly answers: Record<Family, FamilyAnswer> = { 4: undefined, 6: undefined };
  private readonly timers: NodeJS.Timeout[] = [];
  private isFinished = false;

  constructor(
    private readonly hostname: string,
    private readonly options: QueryOptions,
    private readonly callback: (answer: NameAnswer) => void,
  ) {
    const { timeoutMs, resendMs } = options;
    this.timers.push(setTimeout(() => this.finish(), timeoutMs));
    for (let resends = 1; resends <= MAX_RESENDS; resends++) {
      const afterMs = resends * resendMs;
      if (afterMs < timeoutMs) this.timers.push(setTimeout(() => this.ask(), afterMs));
    }
    this.ask();
  }

  /** Stops it; it does not call back any more. */
  cancel(): void {
    if (this.isFinished) return;
    this.isFinished = true;
    this.timers.forEach(clearTimeout);
    this.resolvers.forEach((resolver) => resolver.cancel());
  }

  private ask(): void {
    const resolver = new Resolver({ timeout: this.options.timeoutMs, tries: 1 });
    const servers = this.options.servers ?? resolver.getServers();
    const first = this.resolvers.push(resolver) - 1;
    if (servers.length > 0) resolver.setServers(fromThe(first, servers));
    const options = { ttl: true } as const;
    if (!this.answers[4]) resolver.resolve4(this.hostname, options, this.taking(4));
    if (!this.answers[6]) resolver.resolve6(this.hostname, options, this.taking(6));
  }

  private taking(family: Family) {
    return (error: QueryError | null, records: RecordWithTtl[]): void => {
      if (this.isFinished || this.answers[family]) return;
      this.answers[family] = error ? { error } : { records };
      const { 4: one, 6: other } = this.answers;
      if (one && other) this.finish();
      else if (!error) this.timers.push(setTimeout(() => this.finish(), RESOLUTION_DELAY_MS));
    };
  }

  private finish(): void {
    if (this.isFinished) return;
    this.cancel();
    this.callback(answerOf(this.hostname, this.answers));
  }
}

function answerOf(hostname: string, answers: Record<Family, FamilyAnswer>): NameAnswer {
  const families: Family[] = hasGlobalIPv6() ? [6, 4] : [4, 6];
  const records = families.flatMap((family) => {
    const answer = answers[family];
    return answer && 'records' in answer ? answer.records.slice(0, MAX_ADDRESSES) : [];
  });
  if (records.length > 0) {
    const ttlMs = Math.min(...records.map(({ ttl }) => ttl)) * 1_000;
    return { kind: 'addresses', addresses: records.map(({ address }) => address), ttlMs };
  }
  const errors = families.map((family) => {
    const answer = answers[family];
    return answer && 'error' in answer ? answer.error : silence(hostname);
  });
  const error = errors.find(({ code = '' }) => !ABSENT.has(code)) ?? errors[0]!;
  return { kind: 'failed', error, isSilence: error.code === 'ETIMEOUT' };
}

const silence = (hostname: string): QueryError =>
  Object.assign(new Error(`No name server answers for ${hostname}`), { code: 'ETIMEOUT' });

/** Whether IPv6 leads anywhere; as the system's own resolver, it comes first then (RFC 6724). */
const hasGlobalIPv6 = (): boolean =>
  Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(
      ({ family, internal, address }) => family === 'IPv6' && !internal && !/^fe80/i.test(address),
    ),
  );

/** Begins with another server, and goes on with the rest. */
const fromThe = (first: number, servers: readonly string[]): string[] => [
  ...servers.slice(first % servers.length),
  ...servers.slice(0, first % servers.length),
];

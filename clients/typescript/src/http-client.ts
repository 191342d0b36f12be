import { type Backoff, backoffMs, DEFAULT_BACKOFF } from './backoff.js';
import type { Credential } from './credential.js';
import type { Runtime } from './runtime.js';
import { TidingsError } from './tidings-error.js';

/** The address of a route, for a server that may be below a path, also if it was given as `ws:`. */
export function httpAddress(url: string, route: string): URL {
  const address = new URL(url);
  address.protocol = address.protocol.replace('ws', 'http');
  address.pathname = address.pathname.replace(/\/$/, '') + route;
  return address;
}

/** How often a request is sent in all. */
const MAX_TRIES = 5;
/** The longest wait that a server may ask for; after that the caller learns what it said. */
const MAX_RETRY_AFTER_MS = 60_000;
/** Answers that say nothing about the request itself. */
const TRANSIENT_STATUSES = new Set([408, 425, 429, 500, 502, 503, 504]);

/** The options of a client that concern it. */
export interface HttpOptions {
  url: string;
  fetch?: typeof fetch;
  timeoutMs?: number;
  backoff?: Partial<Backoff>;
}

export interface HttpRequest {
  method: 'GET' | 'POST';
  /** With its query. */
  route: string;
  headers?: Record<string, string>;
  body?: string;
}

/** Why a try failed, and whether another one may succeed. */
interface Failure {
  error: TidingsError;
  isTransient: boolean;
  retryAfterMs?: number;
  isRefusedCredential?: boolean;
}

/** Requests to the REST API. Only those may be sent with it that can be repeated without harm. */
export class HttpClient {
  constructor(
    private readonly options: HttpOptions,
    private readonly credential: Credential,
    private readonly runtime: Runtime,
  ) {}

  /**
   * Sends the request until it is answered, five times at most.
   *
   * @param signal ends the tries
   * @throws TidingsError with the server's code, `status` and `errors`; `connection_lost` if it did not
   * answer; `closed`
   */
  async request(request: HttpRequest, signal: AbortSignal): Promise<unknown> {
    let wasRefused = false;
    for (let tries = 1; ; tries++) {
      if (signal.aborted) throw new TidingsError('closed', 'This client has been closed.');
      const answer = await this.attempt(request, wasRefused, signal);
      if (!('error' in answer)) return answer.body;
      const { error, isTransient, retryAfterMs = 0, isRefusedCredential } = answer;
      if (isRefusedCredential && this.credential.isRenewable && !wasRefused) {
        wasRefused = true;
        continue;
      }
      if (!isTransient || tries >= MAX_TRIES || retryAfterMs > MAX_RETRY_AFTER_MS) throw error;
      const backoff = { ...DEFAULT_BACKOFF, ...this.options.backoff };
      const waitMs = backoffMs(tries, backoff, this.runtime.random());
      await this.runtime.sleep(Math.max(waitMs, retryAfterMs), signal);
    }
  }

  private async attempt(
    { method, route, headers, body }: HttpRequest,
    isRefused: boolean,
    signal: AbortSignal,
  ): Promise<{ body: unknown } | Failure> {
    const token = await this.credential.current(isRefused);
    const { url, timeoutMs = 20_000, fetch: own } = this.options;
    // The platform's must be called as a function of its own.
    const send: typeof fetch = own ?? ((...args) => fetch(...args));
    try {
      const response = await send(httpAddressWithQuery(url, route), {
        method,
        headers: {
          accept: 'application/json',
          ...(body !== undefined && { 'content-type': 'application/json' }),
          ...(token !== undefined && { authorization: `Bearer ${token}` }),
          ...headers,
        },
        ...(body !== undefined && { body }),
        signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
      });
      const text = await response.text();
      return response.ok ? { body: JSON.parse(text) as unknown } : failureOf(response, text);
    } catch (cause) {
      const message = `The server has not answered: ${String(cause)}`;
      const error = new TidingsError('connection_lost', message, { cause });
      return { error, isTransient: true };
    }
  }
}

function httpAddressWithQuery(url: string, route: string): URL {
  const [path = '', query] = route.split('?', 2);
  const address = httpAddress(url, path);
  if (query !== undefined) address.search = query;
  return address;
}

function failureOf({ status, headers }: Response, text: string): Failure {
  const problem = problemIn(text);
  const [code = `http_${status}`, message = `The server answered ${status}.`] = [
    problem.code,
    problem.detail ?? problem.title,
  ];
  const error = new TidingsError(code, message, { status, errors: problem.errors });
  const seconds = Number(headers.get('retry-after') ?? Number.NaN);
  return {
    error,
    isTransient: TRANSIENT_STATUSES.has(status),
    isRefusedCredential: status === 401,
    ...(Number.isFinite(seconds) && { retryAfterMs: seconds * 1_000 }),
  };
}

/** The members of a problem (RFC 9457). */
interface Problem {
  code?: string;
  title?: string;
  detail?: string;
  errors?: unknown;
}

/** Empty if a proxy answered with something else. */
function problemIn(text: string): Problem {
  try {
    const problem = JSON.parse(text) as unknown;
    if (typeof problem !== 'object' || problem === null) return {};
    return Object.fromEntries(
      Object.entries(problem).filter(([name, value]) => name === 'errors' || isText(value)),
    );
  } catch {
    return {};
  }
}

const isText = (value: unknown): boolean => typeof value === 'string';

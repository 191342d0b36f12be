import type { Connection } from './connection.js';
import type { Runtime } from './runtime.js';
import { TidingsError } from './tidings-error.js';
import { expiresAtMs, renewalDelayMs } from './token.js';

export interface CredentialOptions {
  token?: string | undefined;
  getToken?: (() => string | Promise<string>) | undefined;
  apiKey?: string | undefined;
}

/** A token that ends so soon is not used for another request. */
const REQUEST_LEAD_MS = 5_000;

/** The token or API key of a client: gets it, and renews it before it expires. */
export class Credential {
  private latest: string | undefined;

  constructor(
    private readonly options: CredentialOptions,
    private readonly runtime: Runtime,
  ) {}

  /** Whether another token can be requested. */
  get isRenewable(): boolean {
    return this.options.getToken !== undefined;
  }

  /** @throws TidingsError `token_unavailable` */
  async token(): Promise<string | undefined> {
    try {
      const { getToken, token, apiKey } = this.options;
      this.latest = getToken ? await getToken() : (token ?? apiKey);
      return this.latest;
    } catch (cause) {
      throw new TidingsError('token_unavailable', `getToken failed: ${String(cause)}`, { cause });
    }
  }

  /**
   * For a request over HTTP: the latest token, or a new one if it is about to expire.
   *
   * @param isRefused the server did not accept the latest one
   * @throws TidingsError `token_unavailable`
   */
  async current(isRefused: boolean): Promise<string | undefined> {
    if (isRefused || this.latest === undefined) return this.token();
    const expiresAt = expiresAtMs(this.latest) ?? Infinity;
    return expiresAt - this.runtime.date() > REQUEST_LEAD_MS ? this.latest : this.token();
  }

  /**
   * Sends the connection a new token shortly before each expiry, until the connection ends. A failed
   * renewal costs one connection at most, because the next one begins with a new token.
   */
  async keepFresh(connection: Connection, first: string | undefined): Promise<void> {
    if (!this.isRenewable || first === undefined) return;
    const over = new AbortController();
    void connection.ended.then(() => over.abort());
    for (let token = first; !over.signal.aborted;) {
      const expiresAt = expiresAtMs(token);
      if (expiresAt === undefined) return;
      await this.runtime.sleep(renewalDelayMs(expiresAt, this.runtime.date()), over.signal);
      if (over.signal.aborted) return;
      const next = await this.token();
      // The same token again: asking more often would not change that.
      if (next === undefined || (expiresAtMs(next) ?? 0) <= expiresAt) return;
      const answer = await connection.request('auth:refresh', { token: next });
      if (!answer.ok) throw TidingsError.of(answer.error);
      // The new token may not receive some topics: a new connection finds out whose they are.
      if (answer.dropped?.length) return connection.close('the new token allows less');
      token = next;
    }
  }
}

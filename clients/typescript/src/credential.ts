import type { Connection } from './connection.js';
import type { Runtime } from './runtime.js';
import { TidingsError } from './tidings-error.js';
import { expiresAtMs, renewalDelayMs } from './token.js';

export interface CredentialOptions {
  token?: string | undefined;
  getToken?: (() => string | Promise<string>) | undefined;
}

/** The token of a client: where it comes from, and that it does not end while it is used. */
export class Credential {
  constructor(
    private readonly options: CredentialOptions,
    private readonly runtime: Runtime,
  ) {}

  /** Whether another one can be had. */
  get isRenewable(): boolean {
    return this.options.getToken !== undefined;
  }

  /** @throws TidingsError `token_unavailable` */
  async token(): Promise<string | undefined> {
    try {
      return this.options.getToken ? await this.options.getToken() : this.options.token;
    } catch (cause) {
      throw new TidingsError('token_unavailable', `getToken failed: ${String(cause)}`, { cause });
    }
  }

  /**
   * Gives the connection a new token shortly before its own ends, again and again, until it has
   * ended itself. A renewal that fails costs a connection at worst, and the next begins with a new
   * token.
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
      // The same again: asking more often would not change that.
      if (next === undefined || (expiresAtMs(next) ?? 0) <= expiresAt) return;
      const answer = await connection.request('auth:refresh', { token: next });
      if (!answer.ok) throw TidingsError.of(answer.error);
      // Some topics are lost with the old token: a new connection finds out whose they were.
      if (answer.dropped?.length) return connection.close('the new token allows less');
      token = next;
    }
  }
}

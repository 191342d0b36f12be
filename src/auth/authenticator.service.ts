import { hash } from 'node:crypto';
import { Injectable } from '@nestjs/common';
import { LRUCache } from 'lru-cache';
import { Clock } from '../database/clock.service.js';
import { AppError } from '../shared/app-error.js';
import { ApiKeysService } from './api-keys.service.js';
import type { Credentials } from './credentials.js';
import { JwtStrategy } from './jwt.strategy.js';
import { invalidToken, MAX_TOKEN_LENGTH } from './jwt-rules.js';
import type { Principal } from './principal.js';

/** RFC 6750, 2.1; the scheme in any case (RFC 9110, 11.1). */
const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;

/** After this a token is verified again, so that one of a withdrawn key is refused before `exp`. */
const MAX_TRUST_MS = 5 * 60_000;

/** At most about 8 KB each in the worst case, some 300 bytes usually. */
const MAX_VERIFIED_TOKENS = 5_000;

/**
 * Turns a credential into a {@link Principal}, for the REST guard and for every live transport.
 * Calling it again with the same credential is cheap: long-lived connections do so to find out that
 * their API key was revoked.
 */
@Injectable()
export class Authenticator {
  /** By digest, so that no usable token stays in memory after its request. */
  readonly #verified = new LRUCache<string, Principal>({ max: MAX_VERIFIED_TOKENS });

  constructor(
    private readonly tokens: JwtStrategy,
    private readonly apiKeys: ApiKeysService,
    private readonly clock: Clock,
  ) {}

  /**
   * The principal of the caller.
   *
   * @throws AppError `unauthenticated`: `missing_credentials`, `ambiguous_credentials`,
   * `invalid_token`, `token_expired`, `invalid_api_key`, `api_key_expired`
   * @throws UnavailableError if the issuer's key set cannot be fetched
   */
  async authenticate({ authorization, apiKey }: Credentials): Promise<Principal> {
    if (authorization && apiKey) {
      throw new AppError(
        'unauthenticated',
        'ambiguous_credentials',
        'Send either a bearer token or an API key, not both.',
      );
    }
    if (apiKey) return this.apiKeys.authenticate(apiKey);
    if (authorization) return this.authenticateToken(authorization);
    throw new AppError(
      'unauthenticated',
      'missing_credentials',
      'Send a token as "Authorization: Bearer <token>", or an API key as "X-API-Key".',
    );
  }

  private async authenticateToken(authorization: string): Promise<Principal> {
    if (authorization.length > MAX_TOKEN_LENGTH) throw invalidToken('It is too long.');
    const token = BEARER.exec(authorization)?.[1];
    if (token === undefined) throw invalidToken('The header is not "Bearer <token>".');

    const digest = hash('sha256', token, 'base64');
    const known = this.#verified.get(digest);
    if (known && !hasEnded(known, this.clock.nowMs())) return known;

    const principal = await this.tokens.verifyToken(token);
    const ttl = Math.min(principal.expiresAtMs! - this.clock.nowMs(), MAX_TRUST_MS);
    if (ttl > 0) this.#verified.set(digest, principal, { ttl });
    return principal;
  }
}

/** Beside the cache's monotonic clock, which does not notice when the database's clock is set. */
const hasEnded = ({ expiresAtMs }: Principal, nowMs: number): boolean =>
  expiresAtMs !== undefined && expiresAtMs <= nowMs;

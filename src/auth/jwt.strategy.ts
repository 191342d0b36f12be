import { createPublicKey } from 'node:crypto';
import { Inject, Injectable } from '@nestjs/common';
import { PassportStrategy } from '@nestjs/passport';
import type { Algorithm } from 'jsonwebtoken';
import passport from 'passport';
import { Strategy } from 'passport-jwt';
import { AppError } from '../shared/app-error.js';
import { CONFIG } from '../config/config.module.js';
import type { AuthConfig, Config } from '../config/env.js';
import { Clock } from '../database/clock.service.js';
import { invalidToken, readHeader, toPrincipal } from './jwt-rules.js';
import { KeySetClient, type VerificationKey } from './key-set.client.js';
import type { Principal } from './principal.js';
import { algorithmsOf, ASYMMETRIC_ALGORITHMS } from './verification-key.js';

/** What passport gets instead of a request: live connections have none, and only this is read. */
interface TokenRequest {
  token: string;
  /**
   * Ends the check. Once there was something to wait for, what the library throws has no caller to
   * catch it: it would be an unhandled rejection, which ends the process.
   */
  fail: (error: unknown) => void;
}

interface KeySource {
  algorithms: readonly Algorithm[];
  find(keyId: string | undefined): Promise<VerificationKey | undefined>;
}

/** The token check of passport-jwt, under the rules of {@link readHeader} and {@link toPrincipal}. */
@Injectable()
export class JwtStrategy extends PassportStrategy(Strategy) {
  /** Declared only: an initialiser would run after `super()` and replace what it has registered. */
  declare private passport?: passport.Authenticator;

  private readonly rules: Pick<AuthConfig, 'defaultRoles' | 'tenantClaim'>;

  constructor(
    @Inject(CONFIG) config: Config,
    private readonly clock: Clock,
  ) {
    const keys = keySource(config.auth);
    super({
      jwtFromRequest: (request: TokenRequest) => request.token,
      secretOrKeyProvider: ({ fail }: TokenRequest, token: string, done) => {
        keyFor(token, keys)
          .then(
            (key) => done(null, key),
            (error: unknown) => done(error),
          )
          .catch(fail);
      },
      algorithms: [...keys.algorithms],
      issuer: config.auth.issuer,
      audience: config.auth.audience,
      // `toPrincipal` compares all times, with the database's.
      ignoreExpiration: true,
      jsonWebTokenOptions: { ignoreNotBefore: true },
    });
    this.rules = config.auth;
  }

  /**
   * Called by the base class. The default is one registry per process, where the strategy of a second
   * application would silently replace ours and its keys.
   */
  getPassportInstance(): passport.Authenticator {
    return (this.passport ??= new passport.Passport());
  }

  /** Called with the claims once signature, times, issuer and audience are verified. */
  validate(claims: unknown): Principal {
    return toPrincipal(claims, { ...this.rules, nowMs: this.clock.nowMs() });
  }

  /**
   * The principal that a token was issued for.
   *
   * @throws AppError `invalid_token`, `token_expired`
   * @throws UnavailableError if the issuer's key set cannot be fetched
   */
  verifyToken(token: string): Promise<Principal> {
    return new Promise((resolve, reject) => {
      const fail = (error: unknown) => reject(asAppError(error));
      const authenticate = this.getPassportInstance().authenticate(
        this.name,
        { session: false },
        (error: unknown, principal: unknown, refusal: unknown) => {
          if (principal) resolve(principal as Principal);
          else fail(error ?? refusal);
        },
      ) as (request: TokenRequest, response: object, next: (error: unknown) => void) => void;
      try {
        authenticate({ token, fail }, {}, fail);
      } catch (error) {
        fail(error);
      }
    });
  }
}

function keySource({ secret, publicKey, jwksUrl }: AuthConfig): KeySource {
  if (jwksUrl !== undefined) {
    const client = new KeySetClient(jwksUrl);
    return { algorithms: ASYMMETRIC_ALGORITHMS, find: (keyId) => client.find(keyId) };
  }
  if (publicKey !== undefined) {
    const algorithms = algorithmsOf(createPublicKey(publicKey));
    if (algorithms.length === 0) {
      throw new Error('JWT_PUBLIC_KEY must be RSA of at least 2048 bits, P-256, P-384 or P-521');
    }
    return { algorithms, find: () => Promise.resolve({ pem: publicKey, algorithms }) };
  }
  if (secret !== undefined) {
    const algorithms: Algorithm[] = ['HS256'];
    return { algorithms, find: () => Promise.resolve({ pem: secret, algorithms }) };
  }
  throw new Error('One of JWT_SECRET, JWT_PUBLIC_KEY and JWT_JWKS_URL is needed');
}

async function keyFor(token: string, keys: KeySource): Promise<string> {
  const { alg, kid } = readHeader(token);
  // Before the key set is used: a token that can never be valid causes no fetch.
  if (!keys.algorithms.some((algorithm) => algorithm === alg)) {
    throw invalidToken('Its algorithm is not allowed.');
  }
  const key = await keys.find(kid);
  if (!key) throw invalidToken('Its key is not known.');
  if (!key.algorithms.includes(alg)) throw invalidToken('Its algorithm is not that of its key.');
  return key.pem;
}

function asAppError(error: unknown): AppError {
  if (error instanceof AppError) return error;
  return invalidToken('Its signature, issuer or audience is not right.', error);
}

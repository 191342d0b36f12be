import { createPublicKey } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { Logger } from '@nestjs/common';
import { JwksClient } from 'jwks-rsa';
import { UnavailableError } from '../shared/app-error.js';
import { logFailure } from '../shared/log-failure.js';
import { algorithmsOf } from './verification-key.js';

/** A public key of the issuer and what it may verify. */
export interface VerificationKey {
  pem: string;
  algorithms: readonly string[];
}

/** Some hundred RSA keys with their certificates. */
const MAX_BYTES = 512 * 1024;

export interface KeySetTimes {
  /** Shortest time between two fetches, whatever tokens ask for. */
  coolDownMs: number;
  /** A copy older than this is fetched again when it is next used, and is used meanwhile. */
  refreshAfterMs: number;
  /** A copy older than this is not used, even if the issuer cannot be reached. */
  maxAgeMs: number;
  /** Of a whole fetch. */
  timeoutMs: number;
}

const TIMES: KeySetTimes = {
  coolDownMs: 5_000,
  refreshAfterMs: 5 * 60_000,
  maxAgeMs: 60 * 60_000,
  timeoutMs: 5_000,
};

/**
 * The issuer's JSON Web Key Set (RFC 7517), fetched as a whole and kept.
 *
 * The library's own cache and rate limit count per key id, so that tokens with made-up ids use up
 * the fetches which a rotation needs. Here an unknown id costs at most one fetch per cool-down,
 * however many tokens carry one, and known keys are served without waiting.
 */
export class KeySetClient {
  readonly #logger = new Logger(KeySetClient.name);
  readonly #issuer: JwksClient;
  #keys = new Map<string, VerificationKey>();
  #fetchedAtMs = -Infinity;
  #triedAtMs = -Infinity;
  #failure?: UnavailableError;
  #running?: Promise<void>;

  constructor(
    url: string,
    private readonly times: KeySetTimes = TIMES,
  ) {
    const fetcher = (address: string) => fetchKeySet(address, times.timeoutMs);
    this.#issuer = new JwksClient({ jwksUri: url, fetcher, cache: false, rateLimit: false });
  }

  /**
   * The key with this id, or the only key if the token names none.
   *
   * @throws UnavailableError if the set could not be fetched and no copy is young enough
   */
  async find(keyId: string | undefined): Promise<VerificationKey | undefined> {
    const ageMs = performance.now() - this.#fetchedAtMs;
    const known = ageMs < this.times.maxAgeMs ? this.#known(keyId) : undefined;
    if (!known) {
      await this.#refresh();
      return this.#known(keyId);
    }
    if (ageMs > this.times.refreshAfterMs) {
      this.#refresh().catch((error: unknown) =>
        logFailure(this.#logger, 'warn', 'the keys of the token issuer are not refreshed', error),
      );
    }
    return known;
  }

  #known(keyId: string | undefined): VerificationKey | undefined {
    if (keyId !== undefined) return this.#keys.get(keyId);
    return this.#keys.size === 1 ? this.#keys.values().next().value : undefined;
  }

  #refresh(): Promise<void> {
    if (this.#running) return this.#running;
    if (performance.now() - this.#triedAtMs < this.times.coolDownMs) {
      return this.#failure ? Promise.reject(this.#failure) : Promise.resolve();
    }
    this.#running = this.#fetch().finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #fetch(): Promise<void> {
    this.#triedAtMs = performance.now();
    try {
      const keys = await this.#issuer.getSigningKeys();
      this.#keys = new Map(keys.map((key) => [key.kid ?? '', usable(key.getPublicKey(), key.alg)]));
      this.#fetchedAtMs = performance.now();
      this.#failure = undefined;
    } catch (cause) {
      this.#failure = new UnavailableError('The keys of the token issuer cannot be fetched.', {
        cause,
      });
      throw this.#failure;
    }
  }
}

/** A key that names its algorithm (RFC 7517, 4.4) may be used with no other. */
function usable(pem: string, declared: string | undefined): VerificationKey {
  const algorithms = algorithmsOf(createPublicKey(pem));
  return {
    pem,
    algorithms: declared === undefined ? algorithms : algorithms.filter((a) => a === declared),
  };
}

/** Bounded in time and size, and never redirected: the configured address is the trust anchor. */
async function fetchKeySet(url: string, timeoutMs: number): Promise<{ keys: unknown[] }> {
  const response = await fetch(url, {
    headers: { accept: 'application/json' },
    redirect: 'error',
    signal: AbortSignal.timeout(timeoutMs),
  });
  if (!response.ok || !response.body) throw new Error(`the key set answered ${response.status}`);
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response.body as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > MAX_BYTES) throw new Error(`the key set is larger than ${MAX_BYTES} bytes`);
    chunks.push(chunk);
  }
  const keySet: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  const keys: unknown = isObject(keySet) && 'keys' in keySet ? keySet.keys : undefined;
  // The library would refuse the whole set for one entry that is none.
  return { keys: Array.isArray(keys) ? keys.filter(isObject) : [] };
}

const isObject = (value: unknown): value is object => typeof value === 'object' && value !== null;

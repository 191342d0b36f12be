/** Decides whether to reconnect after a connection has ended, and when. */
import { type Backoff, backoffMs } from './backoff.js';
import { TidingsError } from './tidings-error.js';
import type { LinkEnd } from './transport.js';

/** After a connection of this length the next failure counts as the first again. */
const STABLE_MS = 10_000;

/** How many new tokens in a row may be refused. */
const MAX_TOKENS = 3;

/** The longest wait for a draining server; a larger value is an error of the server. */
const MAX_DRAIN_MS = 5 * 60_000;

/** Error codes about the credential: the same one is refused again, another may be accepted. */
const CREDENTIAL_CODES = new Set([
  'missing_credentials',
  'ambiguous_credentials',
  'invalid_token',
  'token_expired',
  'token_in_query',
  'invalid_api_key',
  'api_key_expired',
]);

/** Why and when a connection has ended. */
export interface Ending extends LinkEnd {
  /** The last frame, if it was an error: the server's reason. */
  lastError?: { code: string; message: string; reconnect: boolean };
  /** How long to wait before reconnecting to a draining server, in milliseconds. */
  drainMs?: number;
  /** How long it was connected, in milliseconds; 0 if it never was. */
  connectedMs: number;
}

/** Counts over several attempts. */
export interface Attempts {
  failed: number;
  tokensRefused: number;
}

export const NO_ATTEMPTS: Attempts = { failed: 0, tokensRefused: 0 };

export type NextStep =
  | { kind: 'stop'; error: TidingsError }
  | { kind: 'wait'; delayMs: number; error: TidingsError; attempts: Attempts };

/**
 * @param canRenew whether another token can be requested
 * @param random from 0 to 1, exclusive
 */
export function nextStep(
  ending: Ending,
  before: Attempts,
  { backoff, canRenew, random }: { backoff: Backoff; canRenew: boolean; random: number },
): NextStep {
  const error = errorOf(ending);
  if (isFinal(ending)) return { kind: 'stop', error };
  const isRefusedToken = CREDENTIAL_CODES.has(ending.refusal?.code ?? '');
  const tokensRefused = isRefusedToken ? before.tokensRefused + 1 : 0;
  if (isRefusedToken && (!canRenew || tokensRefused > MAX_TOKENS)) return { kind: 'stop', error };

  if (ending.drainMs !== undefined) {
    const delayMs = Math.min(Math.max(ending.drainMs, 0), MAX_DRAIN_MS);
    return { kind: 'wait', delayMs, error, attempts: NO_ATTEMPTS };
  }
  const failed = ending.connectedMs >= STABLE_MS ? 1 : before.failed + 1;
  const delayMs = backoffMs(failed, backoff, random);
  return { kind: 'wait', delayMs, error, attempts: { failed, tokensRefused } };
}

const isFinal = ({ code = 0, lastError }: Ending): boolean =>
  (code >= 3500 && code <= 3999) || lastError?.reconnect === false;

function errorOf({ refusal, lastError, reason, code }: Ending): TidingsError {
  const word = refusal ?? lastError;
  if (word) return TidingsError.of(word);
  const suffix = code === undefined ? '' : ` (${code})`;
  return new TidingsError('connection_lost', `The connection has ended: ${reason}${suffix}`);
}

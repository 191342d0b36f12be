import type { AttemptResult } from '../../outbound/attempt-result.js';
import type { Verdict } from './circuit.js';

/**
 * What a result says about the receiver.
 *
 * Every attempt that is not answered with 2xx is a failure, also 429: who cannot keep up is to be
 * left alone. Neutral are `blocked`, because our own address policy refused and nothing was sent, and
 * 410, which is no trouble but an answer: the webhook is switched off by that alone.
 */
export function verdictOf(result: AttemptResult): Verdict {
  if (result.kind === 'failed') return result.error === 'blocked' ? 'neutral' : 'failure';
  if (result.statusCode >= 200 && result.statusCode < 300) return 'success';
  return result.statusCode === 410 ? 'neutral' : 'failure';
}

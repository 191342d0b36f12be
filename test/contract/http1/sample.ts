import type { Difference } from './differences.js';

/**
 * How a client reads a response, in one line: `200 "ok"` for a complete one, with `close` when the
 * connection is not used again; `200 broken` for one that breaks after its head; `broken` before.
 */
export type Outcome = string;

/** Where another client differs from ours. */
export interface Contrast {
  undici?: Outcome;
  node?: Outcome;
  because: Difference;
}

/** A response, as characters of one byte each, after which the server closes. */
export type Sample = [name: string, response: string, ours: Outcome, contrast?: Contrast];

export const both = (outcome: Outcome, because: Difference): Contrast => ({
  undici: outcome.replace(/ close$/, ''),
  node: outcome,
  because,
});
export const undici = (outcome: Outcome, because: Difference): Contrast => ({
  undici: outcome,
  because,
});
export const node = (outcome: Outcome, because: Difference): Contrast => ({
  node: outcome,
  because,
});

export const OK = 'HTTP/1.1 200 OK\r\n';
/** The end of a head and a body of two bytes. */
export const TWO = 'content-length: 2\r\n\r\nok';

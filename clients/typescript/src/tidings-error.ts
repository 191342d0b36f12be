/** The server's reason for a refusal. */
export interface Refusal {
  code: string;
  message: string;
}

export interface TidingsErrorOptions {
  status?: number | undefined;
  errors?: unknown;
  cause?: unknown;
}

/**
 * An error of the client. `code` is the server's (`forbidden`, `too_many_topics`, `token_expired`, …),
 * or one of the client: `connection_lost`, `not_connected`, `token_unavailable`, `handler_failed`,
 * `disconnected`, `closed`.
 */
export class TidingsError extends Error {
  override readonly name = 'TidingsError';
  /** Of the answer to a request over HTTP. */
  readonly status: number | undefined;
  /** The fields that the server refuses, with the reason, as its problem names them. */
  readonly errors: unknown;

  constructor(
    readonly code: string,
    message: string,
    { status, errors, cause }: TidingsErrorOptions = {},
  ) {
    super(message, cause === undefined ? undefined : { cause });
    this.status = status;
    this.errors = errors;
  }

  static of({ code, message }: Refusal): TidingsError {
    return new TidingsError(code, message);
  }
}

/** Error codes that do not depend on the request: the same request may succeed later. */
const TRANSIENT_CODES = new Set([
  'internal_error',
  'rate_limited',
  'temporarily_unavailable',
  'timeout',
  'unavailable',
  'unreadable_answer',
]);

export const isTransient = ({ code }: TidingsError): boolean => TRANSIENT_CODES.has(code);

/** Converts any error to a TidingsError. @param code of one that was converted */
export const asTidingsError = (code: string, error: unknown): TidingsError =>
  error instanceof TidingsError
    ? error
    : new TidingsError(code, error instanceof Error ? error.message : String(error), {
        cause: error,
      });

/** Reads a value from the server as a refusal, if it is one. */
export function asRefusal(value: unknown): Refusal | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { code, message } = value as Partial<Refusal>;
  if (typeof code !== 'string') return undefined;
  return { code, message: typeof message === 'string' ? message : code };
}

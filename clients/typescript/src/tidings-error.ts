/** The server's reason for a refusal. */
export interface Refusal {
  code: string;
  message: string;
}

/**
 * An error of the client. `code` is the server's (`forbidden`, `too_many_topics`, `token_expired`, …),
 * or one of the client: `connection_lost`, `connection_refused` (the server forbids reconnecting),
 * `not_connected`, `timeout`, `token_unavailable`, `handler_failed`, `closed`.
 */
export class TidingsError extends Error {
  override readonly name = 'TidingsError';

  constructor(
    readonly code: string,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }

  static of({ code, message }: Refusal): TidingsError {
    return new TidingsError(code, message);
  }
}

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

/** Why something was not done, in the server's words. */
export interface Refusal {
  code: string;
  message: string;
}

/**
 * What can go wrong. `code` is the server's (`forbidden`, `too_many_topics`, `token_expired`, …), or
 * one of ours: `connection_lost`, `connection_refused` (the server does not want this client back),
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

/** An error as one of ours. @param code for one that is not */
export const asTidingsError = (code: string, error: unknown): TidingsError =>
  error instanceof TidingsError
    ? error
    : new TidingsError(code, error instanceof Error ? error.message : String(error), {
        cause: error,
      });

/** What a server sent as the reason of a refusal, if it is one. */
export function asRefusal(value: unknown): Refusal | undefined {
  if (typeof value !== 'object' || value === null) return undefined;
  const { code, message } = value as Partial<Refusal>;
  if (typeof code !== 'string') return undefined;
  return { code, message: typeof message === 'string' ? message : code };
}

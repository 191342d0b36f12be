import { isStoreOutage } from './sql-errors.js';

/** The product cannot start with this database; the message says why and what to do about it. */
export class DatabaseStartError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DatabaseStartError';
  }
}

/** SQLSTATEs of connections that are refused for good: wrong credentials, no such database, no right. */
const REFUSED = /^(28...|3D000|42501)$/;

/** Whether a later try may succeed. */
export const mayPass = (error: unknown): boolean => isStoreOutage(error);

/** What an operator has to know of an error at the start; others are returned as they are. */
export function startError(error: unknown, waitedMs: number): unknown {
  if (!(error instanceof Error)) return error;
  const code = 'code' in error ? String(error.code) : '';
  const reason = `${error.message} (${code})`;
  if (mayPass(error)) {
    return new DatabaseStartError(
      `PostgreSQL has not become available within ${Math.round(waitedMs / 1_000)} s: ${reason}\n` +
        'Check that it is running, and that DATABASE_URL leads to it.',
      { cause: error },
    );
  }
  if (!REFUSED.test(code)) return error;
  return new DatabaseStartError(
    `PostgreSQL refuses the connection: ${reason}\nCheck the user, password and database of DATABASE_URL.`,
    { cause: error },
  );
}

/** What a failed statement means for the caller, by SQLSTATE (PostgreSQL, appendix A). */

const sqlState = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';

/** The values themselves were refused (data exception, constraint, limit): others may be fine. */
export const isItemsFault = (error: unknown): boolean => /^(22|23|54)/.test(sqlState(error));

/** There is a row with this key already. */
export const isUniqueViolation = (error: unknown): boolean => sqlState(error) === '23505';

/** Two transactions stood in each other's way; the same statement may succeed now. */
export const isContention = (error: unknown): boolean => /^(40001|40P01)$/.test(sqlState(error));

/**
 * The store cannot take the write at present: no connection, shutting down, too many clients, disk
 * full, statement timeout, read-only, or a socket error.
 */
export const isStoreOutage = (error: unknown): boolean =>
  /^(08|25006|53|57|58|XX|ECONN|ENOENT|ENOTFOUND|EPIPE|ETIMEDOUT|EAI_)/.test(sqlState(error)) ||
  (error instanceof Error && /connect|terminated|timeout/i.test(error.message));

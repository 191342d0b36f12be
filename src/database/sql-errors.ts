/** What a failed statement means for the caller, by SQLSTATE (PostgreSQL, appendix A). */
import { UnavailableError } from '../shared/app-error.js';

const codeOf = (error: unknown): string =>
  typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : '';

/** The values themselves were refused (data exception, constraint, limit): others may be fine. */
export const isItemsFault = (error: unknown): boolean => /^(22|23|54)/.test(codeOf(error));

/** There is a row with this key already. */
export const isUniqueViolation = (error: unknown): boolean => codeOf(error) === '23505';

/** It refers to a row that does not exist, or exists no more. */
export const isForeignKeyViolation = (error: unknown): boolean => codeOf(error) === '23503';

/** Serialization failure or deadlock: the same statement may succeed now. */
export const isContention = (error: unknown): boolean => /^(40001|40P01)$/.test(codeOf(error));

/** SQLSTATE classes: connection, resources, operator intervention, system, internal; read-only. */
const OUTAGE_STATES = /^(08|53|57|58|XX)...$|^25006$/;
/** Node: the connection was refused or lost, or there is no such host or socket. */
const SOCKET_CODES =
  /^(ECONN(REFUSED|RESET|ABORTED)|EHOST(UNREACH|DOWN)|ENET(UNREACH|DOWN)|ENOENT|ENOTFOUND|EPIPE|ETIMEDOUT|EAI_[A-Z]+)$/;

/**
 * The store cannot take the write at present: no connection, shutting down, too many clients, disk
 * full, statement timeout, read-only, or a socket error. Errors of pg that name no code have got one
 * from {@link ./postgres.driver.ts}.
 */
export const isStoreOutage = (error: unknown): boolean =>
  OUTAGE_STATES.test(codeOf(error)) || SOCKET_CODES.test(codeOf(error));

/** The same, also where a service has said so to its caller already. */
export const isOutage = (error: unknown): boolean =>
  isStoreOutage(error) || error instanceof UnavailableError;

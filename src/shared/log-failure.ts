import { inspect } from 'node:util';

/** A log line about a failure: what it means, in words, with the error whole and fields to search by. */
export class FailureRecord {
  constructor(
    readonly message: string,
    /** With its stack and its cause. */
    readonly error: unknown,
    readonly fields: Readonly<Record<string, unknown>>,
  ) {}

  /** For logs in text. */
  toString(): string {
    const fields = Object.entries(this.fields).map(([name, value]) => ` ${name}=${String(value)}`);
    return `${this.message}${fields.join('')}: ${inspect(this.error)}`;
  }
}

interface FailureLog {
  error: (message: unknown) => void;
  warn: (message: unknown) => void;
}

/**
 * Logs a failure with stack and cause. Never give it a body, a header value or a secret as a field.
 * @param message what failed and what happens now, without the error's own text
 * @param fields ids and numbers to search by
 */
export function logFailure(
  logger: FailureLog,
  level: keyof FailureLog,
  message: string,
  error: unknown,
  fields: Readonly<Record<string, unknown>> = {},
): void {
  logger[level](new FailureRecord(message, error, fields));
}

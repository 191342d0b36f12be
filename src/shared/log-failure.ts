/** An error as logs show it. Never its other fields: drivers keep statements and parameters there. */
export interface LoggedError {
  name: string;
  message: string;
  /** SQLSTATE, or the code of Node or of a library. */
  code?: string;
  stack?: string;
  cause?: LoggedError;
}

/** Causes of causes beyond this are left out; an error may even be its own cause. */
const MAX_CAUSES = 5;

function loggedError(error: unknown, depth = 0): LoggedError {
  if (!(error instanceof Error)) return { name: typeof error, message: String(error) };
  const { name, message, stack, cause } = error;
  const code: unknown = 'code' in error ? error.code : undefined;
  return {
    name,
    message,
    ...(typeof code === 'string' && { code }),
    ...(stack !== undefined && { stack }),
    ...(cause !== undefined && depth < MAX_CAUSES && { cause: loggedError(cause, depth + 1) }),
  };
}

function textOf({ name, message, code, stack, cause }: LoggedError): string {
  const own = `${stack ?? `${name}: ${message}`}${code === undefined ? '' : ` (${code})`}`;
  return cause ? `${own}\ncaused by ${textOf(cause)}` : own;
}

/** A log line about a failure: what it means in words, the error, and fields to search by. */
export class FailureRecord {
  readonly error: LoggedError;

  constructor(
    readonly message: string,
    error: unknown,
    readonly fields: Readonly<Record<string, unknown>>,
  ) {
    // At once: an application that Tidings is built into may have another logger, which shows all fields.
    this.error = loggedError(error);
  }

  /** For logs in text: message, fields, then stack and causes. */
  toString(): string {
    const fields = Object.entries(this.fields).map(([name, value]) => ` ${name}=${String(value)}`);
    return `${this.message}${fields.join('')}: ${textOf(this.error)}`;
  }

  /** For logs in JSON. */
  toJSON(): Record<string, unknown> {
    return { message: this.message, ...this.fields, error: this.error };
  }
}

interface FailureLog {
  error: (message: unknown) => void;
  warn: (message: unknown) => void;
}

/**
 * Logs a failure with stack and cause. Never pass a body, a header value or a secret as a field.
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

/** A caller's text for an answer or a log line: short, and on one line. */
export const readable = (text: string): string =>
  text
    .slice(0, 100)
    .toWellFormed()
    .replace(/\p{Cc}/gu, '\ufffd');

/**
 * Failures that a caller can act on. They do not depend on a transport: the problem filter and the
 * gateway turn `kind` into a status or an error frame.
 */
export type ErrorKind =
  | 'malformed'
  | 'unauthenticated'
  | 'forbidden'
  | 'not_found'
  | 'conflict'
  | 'too_large'
  | 'unsupported'
  | 'invalid'
  | 'too_many_requests'
  | 'unavailable';

/** A field at fault: its path in the input (`events[3].type`) and what is wrong. */
export interface FieldError {
  field: string;
  message: string;
}

export class AppError extends Error {
  /**
   * @param kind   class of failure; decides the status
   * @param code   stable machine-readable name, e.g. `webhook_not_found`
   * @param detail one sentence for a person, free of internals
   * @param errors the fields at fault, for `invalid`
   */
  constructor(
    readonly kind: ErrorKind,
    readonly code: string,
    readonly detail: string,
    readonly errors?: FieldError[],
    options?: ErrorOptions,
  ) {
    super(detail, options);
    this.name = new.target.name;
  }
}

/** It does not exist or belongs to another owner; callers cannot distinguish the two. */
export class NotFoundError extends AppError {
  constructor(what: string, id: string) {
    super(
      'not_found',
      `${what.replaceAll(' ', '_')}_not_found`,
      `No ${what} has the id ${readable(id)}.`,
    );
  }
}

/** Input that was parsed and refused; names at least one field. */
export class InvalidInputError extends AppError {
  constructor(errors: FieldError[]) {
    const [first] = errors;
    const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : '';
    super('invalid', 'invalid_input', `${first?.field}: ${first?.message}${more}`, errors);
  }

  static at(field: string, message: string): InvalidInputError {
    return new InvalidInputError([{ field, message }]);
  }
}

/** A store is not answering; nothing was accepted and the caller may try again. */
export class UnavailableError extends AppError {
  constructor(detail: string, options?: ErrorOptions) {
    super('unavailable', 'temporarily_unavailable', detail, undefined, options);
  }
}

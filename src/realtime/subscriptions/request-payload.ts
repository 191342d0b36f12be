/** How what a client has sent is checked, whatever the message is. */
import type { z } from 'zod';
import { InvalidInputError } from '../../shared/app-error.js';
import { fieldErrors } from '../../shared/field-errors.js';

/** @throws InvalidInputError that names the first field at fault */
export function parsePayload<T>(schema: z.ZodType<T>, payload: unknown): T {
  const parsed = schema.safeParse(payload);
  if (parsed.success) return parsed.data;
  const [{ field, message } = WHOLE] = fieldErrors(parsed.error.issues.map(named));
  throw InvalidInputError.at(field, message);
}

const WHOLE = { field: 'payload', message: 'is not readable' };

/** What is wrong with the whole is called by a name that fits a frame. */
const named = (issue: z.core.$ZodIssue) =>
  issue.path.length > 0 || 'keys' in issue ? issue : { ...issue, path: [WHOLE.field] };

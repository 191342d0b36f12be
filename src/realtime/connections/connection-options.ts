/** What a client may choose for its connection when it connects. */
import { z } from 'zod';
import { InvalidInputError } from '../../shared/app-error.js';
import { fieldErrors } from '../../shared/field-errors.js';

/**
 * How events are written. `envelope`: as the event named `event`, with the envelope in it. `data`: as
 * the envelope itself, whose `type` is the type of the event.
 */
export const FRAME_FORMS = ['envelope', 'data'] as const;
export type FrameForm = (typeof FRAME_FORMS)[number];

export interface ConnectionOptions {
  /** Whether the client gets its own broadcasts, chats and texts back. */
  echo: boolean;
  frames: FrameForm;
}

/** The text of a query, or what a JSON value of Socket.IO's `auth` says. */
const flag = z
  .union([z.boolean(), z.enum(['true', 'false', '1', '0'])], { error: 'must be true or false' })
  .transform((value) => value === true || value === 'true' || value === '1');

const schema = z.object({
  echo: flag.nullish().transform((echo) => echo ?? true),
  frames: z
    .enum(FRAME_FORMS, { error: `must be one of ${FRAME_FORMS.join(', ')}` })
    .nullish()
    .transform((frames) => frames ?? 'envelope'),
});

/**
 * @param given other members are ignored
 * @throws InvalidInputError that names the option
 */
export function connectionOptions(given: { echo?: unknown; frames?: unknown }): ConnectionOptions {
  const parsed = schema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw new InvalidInputError(fieldErrors(parsed.error.issues));
}

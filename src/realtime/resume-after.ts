/** What a client names to resume after: an event, or a position in the log. */
import { z } from 'zod';
import { isId } from '../shared/ids.js';
import { exampleId } from '../shared/zod-fields.js';

/** A text of this form may still be no position; the client then learns that it cannot resume. */
const FORM = /^pos_[0-9a-z_]{1,500}$/;
export const POSITION_EXAMPLE = 'pos_mk3x9q2a_2s_0';

const position = z.string().optional();

/** In answers and notices. */
export const POSITION = {
  connected: position.describe(
    'Where the event log was when the client connected. A client that has no event yet resumes ' +
      'with it as `after`. Absent: the log cannot be read, or the client of an event stream resumes.',
  ),
  subscribed: position.describe(
    'The client is sent what is committed after it; with `after`, it was sent everything before ' +
      'it. Absent: the log cannot be read.',
  ),
  resumed: position.describe('Everything before it was sent.'),
};

/** In requests. */
export const resumeAfter = z
  .string()
  .refine(
    (value) => isId('evt', value) || FORM.test(value),
    `must be the id of an event, such as ${exampleId('evt')}, or a position of the server`,
  );

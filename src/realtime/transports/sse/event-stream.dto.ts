import { z } from 'zod';
import { MAX_PATTERNS, eventPattern, plainText } from '../../../shared/zod-fields.js';
import { MAX_LAST } from '../../subscribed-topic.js';
import { resumeAfter } from '../../resume-after.js';

/** `types=a&types=b` and `types=a,b` are the same. */
const typeList = z.preprocess(
  (value) =>
    [value].flat().flatMap((item) => (typeof item === 'string' ? item.split(',') : [item])),
  z.array(eventPattern).min(1).max(MAX_PATTERNS),
);

export const EventStreamQuery = z.strictObject({
  types: typeList
    .optional()
    .describe(
      'Event types, or patterns that select them: repeated, or separated by commas. Absent: all ' +
        'that the credential allows.',
    ),
  subject: plainText(256).optional().describe('Only events about this subject.'),
  after: resumeAfter
    .optional()
    .describe(
      'Resumes after this event, or position: what was missed since comes first. `Last-Event-ID` takes ' +
        'precedence, in the header or as `lastEventId`.',
    ),
  last: z.coerce
    .number<string>()
    .int()
    .min(1)
    .max(MAX_LAST)
    .optional()
    .describe(
      'How many of the newest events of each type of `types` come first. A stream that resumes gets ' +
        'them only if the log does not reach back that far any more.',
    ),
  lastEventId: z
    .string()
    .max(512)
    .optional()
    .describe(
      'The same as `Last-Event-ID`, from clients that come back without it: polyfills of ' +
        '`EventSource` that set headers, such as event-source-polyfill.',
    ),
  token: z
    .string()
    .optional()
    .describe(
      'The credential of clients that can set no headers, such as `EventSource`. Elsewhere a ' +
        'header is better: addresses end up in logs.',
    ),
});
export type EventStreamQuery = z.infer<typeof EventStreamQuery>;

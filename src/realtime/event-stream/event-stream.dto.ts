import { z } from 'zod';
import { MAX_PATTERNS, eventPattern, plainText } from '../../common/schemas.js';

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
        'that the credential may hear.',
    ),
  subject: plainText(256).optional().describe('Only events about this subject.'),
});
export type EventStreamQuery = z.infer<typeof EventStreamQuery>;

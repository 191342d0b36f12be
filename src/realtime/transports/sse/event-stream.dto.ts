import { z } from 'zod';
import { MAX_PATTERNS, eventPattern, eventType, plainText } from '../../../shared/zod-fields.js';
import { clientIdSchema } from '../../connections/client-identity.js';
import { FRAME_FORMS } from '../../connections/connection-options.js';
import { MAX_LAST } from '../../subscribed-topic.js';
import { resumeAfter } from '../../resume-after.js';

/** `types=a&types=b` and `types=a,b` are the same. */
const listOf = (item: z.ZodType<string>) =>
  z.preprocess(
    (value) =>
      [value].flat().flatMap((part) => (typeof part === 'string' ? part.split(',') : [part])),
    z.array(item).min(1).max(MAX_PATTERNS),
  );

export const EventStreamQuery = z.strictObject({
  types: listOf(eventPattern)
    .optional()
    .describe(
      'Event types, or patterns that select them: repeated, or separated by commas. Absent: all ' +
        'that the credential allows.',
    ),
  channels: listOf(eventType)
    .optional()
    .describe('Channels of the catalogue, written like `types`, which may come with them.'),
  subject: plainText(256).optional().describe('Only events about this subject.'),
  clientId: clientIdSchema
    .optional()
    .describe('A name that the client gives itself, which others see and may write to.'),
  replace: z
    .enum(['true', 'false'])
    .optional()
    .describe('`true`: ends older connections of the same user with this `clientId`.'),
  after: resumeAfter
    .optional()
    .describe(
      'Resumes after this event, or position: what was missed since comes first. `Last-Event-ID` takes ' +
        'precedence, in the header or as `lastEventId`.',
    ),
  frames: z
    .enum(FRAME_FORMS)
    .optional()
    .describe(
      '`data`: each event is named by its type (`event: trade.submitted`), for `addEventListener`; ' +
        'a type that an `EventSource` or the stream itself uses is named `event`. `envelope` (the ' +
        'default): all are named `event`.',
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

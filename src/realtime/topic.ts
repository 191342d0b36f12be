/** What a client subscribes to: a pattern of event types, optionally bound to one subject. */
import { z } from 'zod';
import { eventPattern, plainText } from '../shared/zod-fields.js';

const MAX_SUBJECT_LENGTH = 256;

/** The object form, in which the code uses topics. Without a subject: events with any, and with none. */
export const topicSchema = z.strictObject({
  type: eventPattern,
  subject: plainText(MAX_SUBJECT_LENGTH).optional(),
});
export type Topic = z.output<typeof topicSchema>;

/** A topic that a connection has. */
export interface Subscription extends Topic {
  /** Since when, in milliseconds since 1970. */
  sinceMs: number;
}

/** A topic as frames contain it: a pattern, or a pattern for one subject only. */
export type WrittenTopic = string | { type: string; subject: string };

const { anyOf } = z.toJSONSchema(
  z.union([eventPattern, topicSchema.required({ subject: true })]),
) as { anyOf: object[] };

/** Documents a topic in a frame. It checks nothing: {@link topicInput} does, and names the field. */
export const writtenTopic = z.custom<WrittenTopic>().meta({
  id: 'Topic',
  description: 'A pattern of event types; or with a subject, only events about it.',
  examples: ['trade.*', { type: 'snft.price_changed', subject: 'snft:123' }],
  anyOf,
});

/** Reads a topic of a frame in either form. */
export const topicInput = writtenTopic.pipe(
  z.preprocess((value) => (typeof value === 'string' ? { type: value } : value), topicSchema),
);

/** One text per topic. A pattern cannot contain `#`, so no two topics share one. */
export const topicKey = ({ type, subject }: Topic): string =>
  subject === undefined ? type : `${type}#${subject}`;

/** The shortest way to write it. */
export const written = ({ type, subject }: Topic): WrittenTopic =>
  subject === undefined ? type : { type, subject };

/**
 * What a client subscribes to: a pattern of event types, or a channel of the catalogue; optionally bound
 * to one subject.
 */
import { z } from 'zod';
import { eventPattern, eventType, plainText } from '../shared/zod-fields.js';

export const MAX_SUBJECT_LENGTH = 256;

/** The events of the types that the pattern selects. Without a subject: with any, and with none. */
export interface TypeTopic {
  type: string;
  subject?: string | undefined;
}

/** The events of all types that the catalogue has in this channel, now or later. */
export interface ChannelTopic {
  channel: string;
  subject?: string | undefined;
}

export type Topic = TypeTopic | ChannelTopic;

export const isChannelTopic = (topic: Topic): topic is ChannelTopic => 'channel' in topic;

/** The object form, in which the code uses topics. */
export const topicSchema = z
  .strictObject({
    type: eventPattern.optional(),
    channel: eventType.optional().describe('Instead of `type`: all event types of this channel.'),
    subject: plainText(MAX_SUBJECT_LENGTH).optional(),
  })
  .superRefine(({ type, channel }, context) => {
    if ((type === undefined) !== (channel === undefined)) return;
    const message = type === undefined ? 'is required, or channel instead' : 'excludes channel';
    context.addIssue({ code: 'custom', path: ['type'], message });
  }) as unknown as z.ZodType<Topic>;

/** As the nodes pass it to each other. */
export const passedTopic: z.ZodType<Topic> = z.union([
  z.object({ type: z.string(), subject: z.string().optional() }),
  z.object({ channel: z.string(), subject: z.string().optional() }),
]);

/** A topic that a connection has. */
export type Subscription = Topic & {
  /** Since when, in milliseconds since 1970. */
  sinceMs: number;
};

/** A topic as frames contain it: a pattern, or the object form of any other. */
export type WrittenTopic =
  string | { type: string; subject: string } | { channel: string; subject?: string };

const subject = plainText(MAX_SUBJECT_LENGTH);
const { anyOf } = z.toJSONSchema(
  z.union([
    eventPattern,
    z.strictObject({ type: eventPattern, subject }),
    z.strictObject({ channel: eventType, subject: subject.optional() }),
  ]),
) as { anyOf: object[] };

/** Documents a topic in a frame. It checks nothing: {@link topicInput} does, and names the field. */
export const writtenTopic = z.custom<WrittenTopic>().meta({
  id: 'Topic',
  description:
    'A pattern of event types, or a channel of the catalogue; with a subject, only events about it.',
  examples: [
    'trade.*',
    { type: 'snft.price_changed', subject: 'snft:123' },
    { channel: 'predictions', subject: 'AAPL' },
  ],
  anyOf,
});

/** Reads a topic of a frame in either form. */
export const topicInput = writtenTopic.pipe(
  z.preprocess((value) => (typeof value === 'string' ? { type: value } : value), topicSchema),
);

/** The part of {@link topicKey} without the subject. */
export const nameKey = (topic: Topic): string =>
  isChannelTopic(topic) ? channelKey(topic.channel) : topic.type;

/** A pattern cannot contain `@`. */
export const channelKey = (channel: string): string => `@${channel}`;

/** One text per topic. Neither a pattern nor a channel can contain `#`, so no two topics share one. */
export const topicKey = (topic: Topic): string => withSubject(nameKey(topic), topic.subject);

/** The key for events about this subject only; undefined: about any. */
export const withSubject = (key: string, about: string | undefined): string =>
  about === undefined ? key : `${key}#${about}`;

/** The shortest way to write it. */
export function written(topic: Topic): WrittenTopic {
  const about = topic.subject;
  if (isChannelTopic(topic)) {
    return { channel: topic.channel, ...(about !== undefined && { subject: about }) };
  }
  return about === undefined ? topic.type : { type: topic.type, subject: about };
}

/** `last`: the newest events of a topic, sent before the live ones. */
import { z } from 'zod';
import { eventPattern, eventType, plainText } from '../shared/zod-fields.js';
import { MAX_SUBJECT_LENGTH, type Topic, topicInput, type WrittenTopic } from './topic.js';

/** Of one topic. */
export const MAX_LAST = 100;
/** Of all topics of one request. */
export const MAX_LAST_OF_REQUEST = 1_000;

/** How many of the newest events of a topic come first. */
export const lastCount = z.int().min(1).max(MAX_LAST);

/** A topic, and how many of its newest events come first. */
export interface TopicWithLast {
  topic: Topic;
  last: number | undefined;
}

const documented = {
  subject: plainText(MAX_SUBJECT_LENGTH).optional(),
  last: lastCount.optional().describe('The newest events of this topic that come first.'),
};
const { anyOf } = z.toJSONSchema(
  z.union([
    eventPattern,
    z.strictObject({ type: eventPattern, ...documented }),
    z.strictObject({ channel: eventType, ...documented }),
  ]),
) as { anyOf: object[] };

/** Documents a topic in `subscribe`; {@link topicWithLast} checks it. */
export const subscribedTopic = z.custom<WrittenTopic | (Topic & { last?: number })>().meta({
  id: 'SubscribedTopic',
  description:
    'A pattern of event types, or a channel of the catalogue; with a subject, only events about it. ' +
    'With `last`, that many of its newest events come first.',
  examples: ['trade.*', { type: 'snft.price_changed', subject: 'snft:123', last: 1 }],
  anyOf,
});

/** Reads a topic of `subscribe` in either form. */
export const topicWithLast = subscribedTopic.transform((value: unknown, context): TopicWithLast => {
  const { last, ...rest } = isObject(value) ? value : { last: undefined };
  const topic = topicInput.safeParse(isObject(value) ? rest : value);
  const count = lastCount.optional().safeParse(last);
  for (const { error, path } of [
    { error: topic.error, path: [] },
    { error: count.error, path: ['last'] },
  ]) {
    for (const issue of error?.issues ?? []) {
      context.addIssue({ ...issue, path: [...path, ...issue.path] });
    }
  }
  return topic.success && count.success ? { topic: topic.data, last: count.data } : z.NEVER;
});

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `last`: the newest events of a topic, sent before the live ones. */
import { z } from 'zod';
import { eventPattern } from '../../shared/zod-fields.js';
import { type Topic, topicInput, topicSchema, type WrittenTopic } from '../topic.js';
import type { LoggedEvent } from './log-page.js';

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

const { anyOf } = z.toJSONSchema(
  z.union([
    eventPattern,
    topicSchema.extend({
      last: lastCount.optional().describe('The newest events of this topic that come first.'),
    }),
  ]),
) as { anyOf: object[] };

/** Documents a topic in `subscribe`; {@link topicWithLast} checks it. */
export const subscribedTopic = z
  .custom<WrittenTopic | { type: string; subject?: string; last?: number }>()
  .meta({
    id: 'SubscribedTopic',
    description:
      'A pattern of event types; or with a subject, only events about it. With `last`, that many of ' +
      'its newest events come first.',
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
      context.addIssue({ ...issue, path: [...path, ...issue.path] } as never);
    }
  }
  return topic.success && count.success ? { topic: topic.data, last: count.data } : z.NEVER;
});

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The newest events of a topic, and whether older rows of the log were not searched. */
export interface LastEvents {
  /** In the order of the log. */
  events: readonly LoggedEvent[];
  /** True: there may be more than were found, further back than is searched. */
  truncated: boolean;
}

/**
 * The newest of the events that were found in several searches, each the newest first.
 *
 * @param floors where a search that found too few has stopped: it knows nothing of what is older
 */
export function newestOf(
  found: readonly LoggedEvent[],
  count: number,
  floors: readonly string[],
): LastEvents {
  const newest = found.toSorted((a, b) => (a.id < b.id ? 1 : -1)).slice(0, count);
  const oldest = newest.at(-1)?.id;
  const truncated = floors.some(
    (floor) => newest.length < count || (oldest !== undefined && oldest < floor),
  );
  return { events: inLogOrder(newest), truncated };
}

/** Each event once, in the order of the log. */
export function inLogOrder(events: readonly LoggedEvent[]): LoggedEvent[] {
  return [...new Map(events.map((event) => [event.id, event])).values()].toSorted(byPosition);
}

function byPosition(a: LoggedEvent, b: LoggedEvent): number {
  const [aTx, bTx] = [BigInt(a.tx), BigInt(b.tx)];
  if (aTx !== bTx) return aTx < bTx ? -1 : 1;
  return a.id < b.id ? -1 : 1;
}

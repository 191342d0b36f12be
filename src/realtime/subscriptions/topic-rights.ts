/** What a principal may subscribe to. */
import { canSubscribe, type Principal } from '../../auth/principal.js';
import type { EventTypeCache } from '../../event-types/event-type-cache.service.js';
import { AppError } from '../../shared/app-error.js';
import { MAX_TOPICS } from '../limits.js';
import type { RealtimeErrorCode } from '../protocol.js';
import { isChannelTopic, type Topic, topicKey } from '../topic.js';

/** The part of the catalogue that says what a channel is. */
export type Channels = Pick<EventTypeCache, 'typesIn'>;

/** A credential with `topics` joins a channel once per pattern, which counts as a topic per so many. */
const PATTERNS_PER_TOPIC = 10;

/**
 * Whether the principal may subscribe to the topic. It may to a pattern of which it may receive all, and
 * to a channel of which it may receive some types; it is sent those only.
 */
export const allows = (principal: Principal, topic: Topic, channels: Channels): boolean =>
  isChannelTopic(topic)
    ? principal.topics === undefined || typesAllowed(principal, topic.channel, channels).length > 0
    : canSubscribe(principal, topic.type);

/** The types of the channel that the principal may receive, as the catalogue is now. */
export const typesAllowed = (
  principal: Principal,
  channel: string,
  channels: Channels,
): readonly string[] => channels.typesIn(channel).filter((type) => canSubscribe(principal, type));

/** @throws AppError `forbidden` for a topic outside the credential */
export function requireAllowed(principal: Principal, topic: Topic, channels: Channels): void {
  if (allows(principal, topic, channels)) return;
  const name = isChannelTopic(topic) ? `the channel ${topic.channel}` : topic.type;
  const detail = `This credential may not listen to ${name}.`;
  throw new AppError('forbidden', 'forbidden' satisfies RealtimeErrorCode, detail);
}

/**
 * The requested topics that the connection does not have yet.
 *
 * @throws AppError `forbidden` for a topic outside the credential, `too_many_topics`
 */
export function topicsToAdd(
  current: ReadonlyMap<string, Topic>,
  requested: readonly Topic[],
  principal: Principal,
  channels: Channels,
): Topic[] {
  for (const topic of requested) requireAllowed(principal, topic, channels);
  const added = new Map(requested.map((topic) => [topicKey(topic), topic]));
  for (const key of current.keys()) added.delete(key);
  let count = 0;
  for (const topic of [...current.values(), ...added.values()]) count += weightOf(principal, topic);
  if (added.size > 0 && count > MAX_TOPICS) {
    const detail = `A connection has at most ${MAX_TOPICS} topics.`;
    throw new AppError('invalid', 'too_many_topics' satisfies RealtimeErrorCode, detail);
  }
  return [...added.values()];
}

const weightOf = ({ topics }: Principal, topic: Topic): number =>
  isChannelTopic(topic) && topics ? Math.ceil(topics.length / PATTERNS_PER_TOPIC) : 1;

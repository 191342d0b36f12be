/** What clients may say: the frames, and which topics a connection may add to those that it has. */
import { z } from 'zod';
import { canSubscribe, type Principal } from '../../auth/principal.js';
import { AppError } from '../../shared/app-error.js';
import { eventPattern, idOf, plainText } from '../../shared/zod-fields.js';
import { MAX_TOPICS } from '../limits.js';
import type { RealtimeErrorCode } from '../realtime-events.js';
import { parsePayload } from './request-payload.js';
import { type Topic, topicKey } from './topic.js';

const MAX_SUBJECT_LENGTH = 256;

export const topicSchema = z.strictObject({
  type: eventPattern,
  subject: plainText(MAX_SUBJECT_LENGTH).optional(),
});

export const WrittenTopic = z.preprocess(
  (value) => (typeof value === 'string' ? { type: value } : value),
  topicSchema,
);

const UnsubscribeRequest = z.strictObject({
  // Counted first: a frame full of nonsense has one thing wrong with it, not thousands.
  topics: z.array(z.unknown()).min(1).max(MAX_TOPICS).pipe(z.array(WrittenTopic)),
});

const SubscribeRequest = UnsubscribeRequest.extend({ after: idOf('evt').optional() });

const PingRequest = z.strictObject({}).optional();

const RefreshRequest = z.strictObject({ token: z.string().min(1) });

/** @throws InvalidInputError */
export const subscribeRequest = (payload: unknown): { topics: Topic[]; after?: string } =>
  parsePayload(SubscribeRequest, payload);

/** @throws InvalidInputError */
export const unsubscribeRequest = (payload: unknown): { topics: Topic[] } =>
  parsePayload(UnsubscribeRequest, payload);

/** @throws InvalidInputError */
export const refreshRequest = (payload: unknown): { token: string } =>
  parsePayload(RefreshRequest, payload);

/** @throws InvalidInputError */
export function checkPing(payload: unknown): void {
  parsePayload(PingRequest, payload);
}

/**
 * Those of the requested topics that the connection does not have yet.
 *
 * @throws AppError `forbidden` for a topic outside the credential, `too_many_topics`
 */
export function topicsToAdd(
  current: ReadonlyMap<string, Topic>,
  requested: readonly Topic[],
  principal: Principal,
): Topic[] {
  const unheard = requested.find(({ type }) => !canSubscribe(principal, type));
  if (unheard) {
    const detail = `This credential may not listen to ${unheard.type}.`;
    throw new AppError('forbidden', 'forbidden' satisfies RealtimeErrorCode, detail);
  }
  const added = new Map(requested.map((topic) => [topicKey(topic), topic]));
  for (const key of current.keys()) added.delete(key);
  if (current.size + added.size > MAX_TOPICS) {
    const detail = `A connection has at most ${MAX_TOPICS} topics.`;
    throw new AppError('invalid', 'too_many_topics' satisfies RealtimeErrorCode, detail);
  }
  return [...added.values()];
}

/** What clients may say: the frames, and which topics a connection may add to those that it has. */
import { z } from 'zod';
import { mayHear, type Principal } from '../auth/principal.js';
import { AppError, InvalidInputError } from '../common/app-error.js';
import { eventPattern, plainText } from '../common/schemas.js';
import { MAX_TOPICS, type RealtimeErrorCode, type Topic, topicKey } from './realtime-events.js';

const MAX_SUBJECT_LENGTH = 256;
/** Of a name that a client made up, in our answer. */
const MAX_FIELD_LENGTH = 64;

const WrittenTopic = z.preprocess(
  (value) => (typeof value === 'string' ? { type: value } : value),
  z.strictObject({ type: eventPattern, subject: plainText(MAX_SUBJECT_LENGTH).optional() }),
);

const SubscriptionRequest = z.strictObject({
  // Counted first: a frame full of nonsense has one thing wrong with it, not thousands.
  topics: z.array(z.unknown()).min(1).max(MAX_TOPICS).pipe(z.array(WrittenTopic)),
});

const PingRequest = z.strictObject({}).optional();

/** The topics of a `subscribe` or `unsubscribe`. @throws InvalidInputError */
export const requestedTopics = (payload: unknown): Topic[] =>
  parse(SubscriptionRequest, payload).topics;

/** @throws InvalidInputError */
export function checkPing(payload: unknown): void {
  parse(PingRequest, payload);
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
  const unheard = requested.find(({ type }) => !mayHear(principal, type));
  if (unheard) throw refused('forbidden', `This credential may not listen to ${unheard.type}.`);
  const added = new Map(requested.map((topic) => [topicKey(topic), topic]));
  for (const key of current.keys()) added.delete(key);
  if (current.size + added.size > MAX_TOPICS) {
    throw refused('too_many_topics', `A connection has at most ${MAX_TOPICS} topics.`);
  }
  return [...added.values()];
}

const refused = (code: RealtimeErrorCode, detail: string): AppError =>
  new AppError(code === 'forbidden' ? 'forbidden' : 'invalid', code, detail);

function parse<T>(schema: z.ZodType<T>, payload: unknown): T {
  const parsed = schema.safeParse(payload);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw InvalidInputError.at(
    field(issue),
    issue?.code === 'unrecognized_keys' ? 'is not known' : (issue?.message ?? 'is not readable'),
  );
}

/** `topics[3].subject`, or `payload` for the whole. */
function field(issue: z.core.$ZodIssue | undefined): string {
  const unknown = issue?.code === 'unrecognized_keys' ? issue.keys.slice(0, 1) : [];
  return (
    [...(issue?.path ?? []), ...unknown]
      .map((part, index) =>
        typeof part === 'number' ? `[${part}]` : `${index === 0 ? '' : '.'}${String(part)}`,
      )
      .join('')
      .slice(0, MAX_FIELD_LENGTH) || 'payload'
  );
}

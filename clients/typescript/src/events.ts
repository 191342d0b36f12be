/** Events and topics, and which events a topic selects. */

/** An event, as webhooks receive it too; its `id` is the same over all transports. */
export interface TidingsEvent<Type extends string = string, Data = unknown> {
  /** Identifies the event: the same id twice is the same event. */
  id: string;
  type: Type;
  /** RFC 3339 in UTC with milliseconds. */
  timestamp: string;
  /** What the event is about, e.g. `snft:123`. */
  subject?: string;
  source?: string;
  /** Only with the roles `admin` and `operator`: whose event it is. Absent: it is public. */
  ownerId?: string;
  data: Data;
  /** Not in the log: clients that were not connected have missed it, and none can resume after it. */
  transient?: true;
}

/**
 * A type, a type that ends in `.*` (everything below it, at any depth) or `*`; with a subject, only
 * events about it.
 */
export type Topic<Pattern extends string = string> =
  Pattern | { readonly type: Pattern; readonly subject?: string } | ChannelTopic;

/** All event types that the server's catalogue has in this channel, now or later. */
export interface ChannelTopic {
  readonly channel: string;
  readonly subject?: string;
}

/** Whether the map of event types is the default one, which has no types. */
type IsOpen<Events> = string extends keyof Events ? true : false;

type KnownPattern<Events> = (keyof Events & string) | `${string}.*` | '*';

/** The topics that a map of event types allows: an exact type has to be in it. */
export type TopicOf<Events> = Topic<IsOpen<Events> extends true ? string : KnownPattern<Events>>;

type PatternOf<T> = T extends string
  ? T
  : T extends { readonly type: infer P }
    ? P
    : T extends ChannelTopic
      ? '*'
      : never;

type TypesOf<Events, Pattern> = Pattern extends '*'
  ? keyof Events & string
  : Pattern extends `${infer Prefix}.*`
    ? Extract<keyof Events & string, `${Prefix}.${string}`>
    : Extract<keyof Events & string, Pattern>;

/** The events of a topic, as a union that `type` discriminates. */
export type EventOf<Events, T> =
  IsOpen<Events> extends true
    ? TidingsEvent
    : {
        [Type in TypesOf<Events, PatternOf<T>>]: TidingsEvent<Type, Events[Type]>;
      }[TypesOf<Events, PatternOf<T>>];

/**
 * Whether the topic selects the event.
 *
 * @param channel that of the event's type, as the server has sent it
 */
export function selects(
  topic: Topic,
  event: Pick<TidingsEvent, 'type' | 'subject'>,
  channel: string | undefined,
): boolean {
  if (typeof topic === 'string') return matches(topic, event.type);
  if (topic.subject !== undefined && topic.subject !== event.subject) return false;
  return 'channel' in topic ? topic.channel === channel : matches(topic.type, event.type);
}

function matches(pattern: string, type: string): boolean {
  if (pattern === '*') return true;
  return pattern.endsWith('.*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern;
}

/** A text that is equal for equal topics. A pattern contains neither `#` nor `@`. */
export function topicKey(topic: Topic): string {
  if (typeof topic === 'string') return topic;
  const name = 'channel' in topic ? `@${topic.channel}` : topic.type;
  return topic.subject === undefined ? name : `${name}#${topic.subject}`;
}

/** Whether a frame's payload is an event. */
export function isEvent(value: unknown): value is TidingsEvent {
  if (typeof value !== 'object' || value === null) return false;
  const { id, type } = value as Partial<TidingsEvent>;
  return typeof id === 'string' && typeof type === 'string';
}

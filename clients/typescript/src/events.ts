/** Events and topics, and how a topic decides which events a handler can get. */

/** A fact, as webhooks receive it too; over all transports the `id` is the same. */
export interface TidingsEvent<Type extends string = string, Data = unknown> {
  /** What to remember an event by: whoever sees an id twice has seen the same event. */
  id: string;
  type: Type;
  /** RFC 3339 in UTC with milliseconds. */
  timestamp: string;
  /** What the event is about, e.g. `snft:123`. */
  subject?: string;
  source?: string;
  data: Data;
  /** It is in no log: whoever was not connected has missed it, and it cannot be resumed from. */
  transient?: true;
}

/**
 * A type, a type that ends in `.*` (everything below it, at any depth) or `*`; with a subject, only
 * events about it.
 */
export type Topic<Pattern extends string = string> =
  Pattern | { readonly type: Pattern; readonly subject?: string };

/** Whether a map of event types says anything; the default one does not. */
type IsOpen<Events> = string extends keyof Events ? true : false;

type KnownPattern<Events> = (keyof Events & string) | `${string}.*` | '*';

/** The topics that can be written with a map of event types: an exact type has to be in it. */
export type TopicOf<Events> = Topic<IsOpen<Events> extends true ? string : KnownPattern<Events>>;

type PatternOf<T> = T extends string ? T : T extends { readonly type: infer P } ? P : never;

type TypesOf<Events, Pattern> = Pattern extends '*'
  ? keyof Events & string
  : Pattern extends `${infer Prefix}.*`
    ? Extract<keyof Events & string, `${Prefix}.${string}`>
    : Extract<keyof Events & string, Pattern>;

/** The events of a topic, told apart by `type`. */
export type EventOf<Events, T> =
  IsOpen<Events> extends true
    ? TidingsEvent
    : {
        [Type in TypesOf<Events, PatternOf<T>>]: TidingsEvent<Type, Events[Type]>;
      }[TypesOf<Events, PatternOf<T>>];

/** Whether the topic selects the event. */
export function selects(topic: Topic, event: Pick<TidingsEvent, 'type' | 'subject'>): boolean {
  if (typeof topic === 'string') return matches(topic, event.type);
  if (topic.subject !== undefined && topic.subject !== event.subject) return false;
  return matches(topic.type, event.type);
}

function matches(pattern: string, type: string): boolean {
  if (pattern === '*') return true;
  return pattern.endsWith('.*') ? type.startsWith(pattern.slice(0, -1)) : type === pattern;
}

/** One text per topic: equal topics have equal keys. A pattern cannot contain `#`. */
export function topicKey(topic: Topic): string {
  if (typeof topic === 'string') return topic;
  return topic.subject === undefined ? topic.type : `${topic.type}#${topic.subject}`;
}

/** What came as an event, if it is one. */
export function isEvent(value: unknown): value is TidingsEvent {
  if (typeof value !== 'object' || value === null) return false;
  const { id, type } = value as Partial<TidingsEvent>;
  return typeof id === 'string' && typeof type === 'string';
}

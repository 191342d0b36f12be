/** A part of the event log that somebody listens to. */
export interface Topic {
  /** The pattern of event types. */
  type: string;
  /** Undefined: events with any subject, and with none. */
  subject?: string;
}

/** A topic that a connection has. */
export interface Subscription extends Topic {
  /** Since when, in milliseconds since 1970. */
  sinceMs: number;
}

/** A topic as it is written: a pattern, or a pattern for one subject only. */
export type WrittenTopic = string | { type: string; subject: string };

/** One text per topic. A pattern cannot contain `#`, so no two topics share one. */
export const topicKey = ({ type, subject }: Topic): string =>
  subject === undefined ? type : `${type}#${subject}`;

/** The shortest way to write it. */
export const written = ({ type, subject }: Topic): WrittenTopic =>
  subject === undefined ? type : { type, subject };

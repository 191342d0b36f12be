/** Of the deliveries to one webhook, the most urgent first; stored as the index. */
export const PRIORITIES = ['high', 'normal', 'low'] as const;
export type Priority = (typeof PRIORITIES)[number];

/** An event as it is sent to connections. */
export interface RealtimeEvent {
  id: string;
  /** Null: a public event. */
  ownerId: string | null;
  type: string;
  subject: string | null;
  /** The envelope as JSON text, exactly the bytes that webhooks receive. */
  body: string;
  /** It is not in the log: it cannot be sent again, and no client can resume from it. */
  transient?: boolean;
}

/**
 * The envelope: what webhooks and live clients receive for an event.
 *
 * It is serialized once, when the event is accepted; these bytes are stored, signed and sent
 * unchanged. The signature covers the order of the members, so they are never serialized again.
 */
export interface Envelope {
  id: string;
  type: string;
  /** RFC 3339 in UTC with milliseconds. */
  timestamp: string;
  subject?: string;
  source?: string;
  /**
   * A transient event: not in the log, sent once to the connections. A client must not resume from
   * its id.
   */
  transient?: true;
  data: unknown;
}

/**
 * The envelope as JSON text.
 * @param envelope its `data` must have passed {@link jsonProblem}
 * @param dataText the text of `data` on one line, as it was sent; absent: it is serialized
 */
export const envelopeText = (
  { id, type, timestamp, subject, source, transient, data }: Envelope,
  dataText: string = JSON.stringify(data),
): string => {
  const rest = JSON.stringify({ id, type, timestamp, subject, source, transient });
  return `${rest.slice(0, -1)},"data":${dataText}}`;
};

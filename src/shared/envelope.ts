/**
 * The envelope: what every webhook and live client receives for an event, over every transport.
 *
 * It is serialized once, when the event is accepted; those bytes are stored, signed, sent and pushed
 * unchanged. The signature covers the order of the members, so they are never parsed and written
 * again.
 */
export interface Envelope {
  id: string;
  type: string;
  /** RFC 3339 in UTC with milliseconds. */
  timestamp: string;
  subject?: string;
  source?: string;
  /**
   * It is not in the log and was sent once, to the clients that were connected. A client must not keep
   * its id to resume from.
   */
  transient?: true;
  data: unknown;
}

/** The envelope as JSON text. `data` must have passed {@link jsonProblem}. */
export const envelopeText = (envelope: Envelope): string => {
  const { id, type, timestamp, subject, source, transient, data } = envelope;
  return JSON.stringify({ id, type, timestamp, subject, source, transient, data });
};

/**
 * The envelope: what every listener receives for an event, over every transport.
 *
 * It is made into text once, when the event is accepted; those bytes are stored, signed, sent and
 * pushed as they are. The order of the members is part of what the signature covers, so nothing
 * ever parses and writes them again.
 */
export interface Envelope {
  id: string;
  type: string;
  /** RFC 3339 in UTC with milliseconds. */
  timestamp: string;
  subject?: string;
  source?: string;
  /**
   * It is not in the log and comes once, to the sockets that listen: nobody can go on after it. A
   * client must not remember its id as the place to resume from.
   */
  transient?: true;
  data: unknown;
}

/** The envelope as JSON text. `data` must have passed {@link jsonProblem}. */
export const envelopeText = (envelope: Envelope): string => {
  const { id, type, timestamp, subject, source, transient, data } = envelope;
  return JSON.stringify({ id, type, timestamp, subject, source, transient, data });
};

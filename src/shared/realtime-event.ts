/** What sockets are told of a committed event. */
export interface RealtimeEvent {
  id: string;
  /** Null: the event is everybody's. */
  ownerId: string | null;
  type: string;
  subject: string | null;
  /** The envelope as JSON text, exactly the bytes that webhooks receive. */
  body: string;
  /** It is not in the log: it cannot be sent again, and nobody can resume from it. */
  transient?: boolean;
}

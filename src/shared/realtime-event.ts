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

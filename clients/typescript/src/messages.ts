/** Messages between connected users. They are not stored, so they cannot be replayed. */
import type { Answer } from './transport.js';

export interface ReceivedMessage {
  kind: 'broadcast' | 'private' | 'chat';
  /** The sender; without `connectionId`: the operator. */
  from: { userId: string; connectionId?: string; clientId?: string };
  message: unknown;
  timestamp: string;
  /** The chat room. */
  room?: string;
}

/** Whom a private message is for. */
export type Recipient =
  string | { userId: string } | { clientId: string } | { connectionId: string };

/** The answer to a message. */
export interface Delivered {
  /** Connections that it was sent to, of those on the same node; others get it too. */
  delivered: number;
}

export interface MessageOptions {
  /** False: to all but this connection. Default: true. */
  echo?: boolean;
}

type Listen = (message: ReceivedMessage) => void;

/** Each promise is fulfilled when the server has accepted the message. @throws TidingsError `not_connected` */
export class Messages {
  /** @internal */
  constructor(
    private readonly request: (name: string, payload: object) => Promise<Answer>,
    private readonly onMessage: (listener: Listen) => () => void,
  ) {}

  /** To all connected users. */
  broadcast(message: unknown, { echo = true }: MessageOptions = {}): Promise<Delivered> {
    return this.send('broadcast', { message, ...(!echo && { echo }) });
  }

  /**
   * @param to the id of a user, a connection or a client; all that match. Clients choose their ids
   * themselves: name the kind to reach no other
   */
  private(to: Recipient, message: unknown): Promise<Delivered> {
    return this.send('private', { to, message });
  }

  /** @param room undefined: the common one */
  chat(message: unknown, room?: string, { echo = true }: MessageOptions = {}): Promise<Delivered> {
    return this.send('chat', {
      message,
      ...(room !== undefined && { room }),
      ...(!echo && { echo }),
    });
  }

  /** Calls the listener for each message. @returns a function that ends it */
  listen(listener: Listen): () => void {
    return this.onMessage((message) => listener(message));
  }

  private async send(name: string, payload: object): Promise<Delivered> {
    const { delivered } = (await this.request(name, payload)) as Partial<Delivered>;
    return { delivered: delivered ?? 0 };
  }
}

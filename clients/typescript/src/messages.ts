/** Messages between connected users. They are not stored, so they cannot be replayed. */
import { guarded } from './callback.js';
import type { Answer } from './transport.js';

export interface ReceivedMessage {
  kind: 'broadcast' | 'private' | 'chat';
  /** The sender. */
  from: unknown;
  message: unknown;
  timestamp: string;
  /** The chat room. */
  room?: string;
}

export type Listen = (message: ReceivedMessage) => void;

/** Each promise is fulfilled when the server has accepted the message. @throws TidingsError `not_connected` */
export class Messages {
  private readonly listeners = new Set<Listen>();

  constructor(private readonly request: (name: string, payload: object) => Promise<Answer>) {}

  /** To all connected users. */
  async broadcast(message: unknown): Promise<void> {
    await this.request('broadcast', { message });
  }

  /** @param to a user, or one of their connections */
  async private(to: string, message: unknown): Promise<void> {
    await this.request('private', { to, message });
  }

  /** @param room undefined: the common one */
  async chat(message: unknown, room?: string): Promise<void> {
    await this.request('chat', { message, ...(room !== undefined && { room }) });
  }

  /** Calls the listener for each message. @returns a function that ends it */
  listen(listener: Listen): () => void {
    const guardedListener = guarded(listener);
    this.listeners.add(guardedListener);
    return () => void this.listeners.delete(guardedListener);
  }

  /** @internal */
  receive(message: ReceivedMessage): void {
    for (const listener of this.listeners) listener(message);
  }
}

/** What people on sockets say to each other. Messages are passed on, not kept: nothing is resumed. */
import { guarded } from './callback.js';
import type { Answer } from './transport.js';

export interface ReceivedMessage {
  kind: 'broadcast' | 'private' | 'chat';
  /** Who said it. */
  from: unknown;
  message: unknown;
  timestamp: string;
  /** Of a chat. */
  room?: string;
}

export type Listen = (message: ReceivedMessage) => void;

/** Each is fulfilled when the server has taken the message. @throws TidingsError `not_connected` */
export class Messages {
  private readonly listeners = new Set<Listen>();

  constructor(private readonly request: (name: string, payload: object) => Promise<Answer>) {}

  /** To everybody. */
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

  /** @returns ends it */
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

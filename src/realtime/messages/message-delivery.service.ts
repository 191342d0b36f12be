import { Injectable } from '@nestjs/common';
import { Connections } from '../connections/connections.service.js';
import type { Encoding, Frame } from '../fanout/frame.js';
import type { Connection } from '../connections/realtime.connection.js';
import { Subscriptions } from '../subscriptions/subscriptions.service.js';
import type { PostedMessage, Recipients } from './posted-message.js';

/** Brings messages to the connections of this process, whoever has sent them and from where. */
@Injectable()
export class MessageDelivery {
  constructor(
    private readonly connections: Connections,
    private readonly subscriptions: Subscriptions,
  ) {}

  /**
   * One frame for all connections of a transport.
   *
   * @returns how many connections it was sent to
   */
  deliver({ to, message, isText }: PostedMessage): number {
    const frames = new Map<Encoding, Frame>();
    const frameFor = (encoding: Encoding): Frame =>
      isText && encoding.text
        ? encoding.text(String(message.message))
        : encoding.notice('message', message);
    let delivered = 0;
    for (const connection of this.reachedBy(to)) {
      const { encoding } = connection;
      // Text does not say whom it is from, so nobody could tell an echo from an answer.
      if (isText && connection.id === message.from.connectionId) continue;
      if (!connection.isOpen) continue;
      let frame = frames.get(encoding);
      if (!frame) frames.set(encoding, (frame = frameFor(encoding)));
      connection.send(frame);
      delivered++;
    }
    return delivered;
  }

  /** A copy: who does not take it may be cut, and leaves. */
  private reachedBy(to: Recipients): Connection[] {
    switch (to.who) {
      case 'everybody':
        return [...this.connections.all()];
      case 'owner':
        return [...this.connections.ofOwner(to.ownerId)];
      case 'connection': {
        const connection = this.connections.get(to.id);
        const isMeant = to.ownerId === undefined || connection?.principal.ownerId === to.ownerId;
        return connection && isMeant ? [connection] : [];
      }
      case 'topic':
        return this.subscriptions.membersOn(to.topic, to.ownerId);
    }
  }
}

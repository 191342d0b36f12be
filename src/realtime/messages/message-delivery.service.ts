import { Injectable } from '@nestjs/common';
import { Connections } from '../connections/connections.service.js';
import type { Encoding, Frame } from '../fanout/frame.js';
import type { Connection } from '../connections/realtime.connection.js';
import type { Message } from '../protocol.js';
import { Subscriptions } from '../subscriptions/subscriptions.service.js';
import type { PostedMessage, Recipients } from './posted-message.js';

/** Sends messages to the connections of this node, from whichever node they come. */
@Injectable()
export class MessageDelivery {
  constructor(
    private readonly connections: Connections,
    private readonly subscriptions: Subscriptions,
  ) {}

  /**
   * Sends it to every recipient; one frame serves all connections of a transport.
   *
   * @returns how many connections it was sent to
   */
  deliver({ to, except, message, isText }: PostedMessage): number {
    const frames = new Map<Encoding, Frame>();
    const frameFor = (encoding: Encoding): Frame =>
      isText && encoding.text
        ? encoding.text(String(message.message))
        : encoding.notice('message', message);
    let delivered = 0;
    for (const connection of this.recipients(to)) {
      const { encoding } = connection;
      if (!connection.isOpen || isEcho(connection, message)) continue;
      if (except?.includes(connection.id)) continue;
      let frame = frames.get(encoding);
      if (!frame) frames.set(encoding, (frame = frameFor(encoding)));
      connection.send(frame);
      delivered++;
    }
    return delivered;
  }

  /** @param ownerId undefined: of users with this id in all tenants */
  private ofUser(userId: string, ownerId: string | undefined): Connection[] {
    if (ownerId !== undefined) return [...this.connections.ofUser({ ownerId, userId })];
    return [...this.connections.all()].filter(({ principal }) => principal.userId === userId);
  }

  /** @param ownerId undefined: of clients with this id in all tenants */
  private ofClient(clientId: string, ownerId: string | undefined): Connection[] {
    if (ownerId !== undefined) return [...this.connections.ofClient({ ownerId, clientId })];
    return [...this.connections.all()].filter((connection) => connection.clientId === clientId);
  }

  /** A copy: a slow connection may be closed during the sending, and leaves its rooms. */
  private recipients(to: Recipients): Connection[] {
    switch (to.who) {
      case 'everybody':
        return [...this.connections.all()];
      case 'owner':
        return [...this.connections.ofOwner(to.ownerId)];
      case 'user':
        return this.ofUser(to.userId, to.ownerId);
      case 'client':
        return this.ofClient(to.clientId, to.ownerId);
      case 'named': {
        const { name, ownerId } = to;
        return [...new Set([...this.ofUser(name, ownerId), ...this.ofClient(name, ownerId)])];
      }
      case 'connection': {
        const connection = this.connections.get(to.id);
        const isAllowed = to.ownerId === undefined || connection?.principal.ownerId === to.ownerId;
        return connection && isAllowed ? [connection] : [];
      }
      case 'topic':
        return this.subscriptions.membersOn(to.topic, to.ownerId);
    }
  }
}

/** Whether it is the message of a connection that does not want its own back. A private one to itself is meant. */
const isEcho = ({ echo, id }: Connection, { kind, from }: Message): boolean =>
  !echo && kind !== 'private' && id === from.connectionId;

import { Injectable } from '@nestjs/common';
import type { PlainWebSocketConnection } from './plain-websocket.connection.js';
import { textMessage } from './websocket-encoding.js';
import { RoomMap } from '../room-map.js';

/**
 * Text that is no JSON goes as it is to the other plain WebSockets of the same owner. Only to those
 * of this process: it is for trying things out; `broadcast` messages reach everybody.
 */
@Injectable()
export class TextBroadcast {
  /** By owner, which stays the same for the life of a connection. */
  private readonly owners = new RoomMap<PlainWebSocketConnection>();

  /** From now on it hears what others say. */
  add(connection: PlainWebSocketConnection): void {
    const { ownerId } = connection.principal;
    this.owners.join(ownerId, connection);
    connection.whenEnded(() => this.owners.leave(ownerId, connection));
  }

  /** Says it to all but the one who has said it. */
  broadcast(from: PlainWebSocketConnection, text: string): void {
    const frame = textMessage(text);
    for (const connection of this.owners.membersOf([from.principal.ownerId])) {
      if (connection !== from) connection.send(frame);
    }
  }
}

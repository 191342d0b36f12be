import { Injectable } from '@nestjs/common';
import { ownerScope, type Principal } from '../../auth/principal.js';
import { isId } from '../../shared/ids.js';
import { RealtimeBus } from '../../cluster/realtime-bus.client.js';
import type { Connection } from '../connections/realtime.connection.js';
import type { Delivered, Message, RequestPayload } from '../protocol.js';
import { Subscriptions } from '../subscriptions/subscriptions.service.js';
import { MessageDelivery } from './message-delivery.service.js';
import { MessageNotifier } from './message-notifier.service.js';
import { CLIENT_MESSAGE, PostedMessage, type Recipients, topicOfRoom } from './posted-message.js';

/**
 * Messages of clients to each other: sent to the connections that are open, and not stored. A message
 * reaches connections of the sender's owner only; that of an admin or operator may reach all.
 */
@Injectable()
export class Messages {
  constructor(
    private readonly delivery: MessageDelivery,
    private readonly subscriptions: Subscriptions,
    private readonly bus: RealtimeBus,
    private readonly notifier: MessageNotifier,
  ) {
    bus.on(CLIENT_MESSAGE, (payload) => this.delivery.deliver(PostedMessage.parse(payload)));
  }

  /** Text that is not JSON: to all other connections, as text over transports that can send it. */
  text(from: Connection, message: string): void {
    this.post(from, allOf(from), { kind: 'broadcast', message }, true);
  }

  broadcast(from: Connection, { message, echo }: RequestPayload<'broadcast'>): Delivered {
    return this.post(from, allOf(from), { kind: 'broadcast', message, echo });
  }

  /** The answer for a user or connection of another tenant is the same as for one that does not exist. */
  private(from: Connection, { to, message }: RequestPayload<'private'>): Delivered {
    return this.post(from, recipientOf(from.principal, to), { kind: 'private', message });
  }

  /** A connection that sends to a room becomes a member of it. */
  chat(from: Connection, { room, message, echo }: RequestPayload<'chat'>): Delivered {
    const { ownerId } = from.principal;
    if (room === undefined) {
      return this.post(from, { who: 'owner', ownerId }, { kind: 'chat', message, echo });
    }
    const topic = topicOfRoom(room);
    this.subscriptions.add(from, [topic]);
    return this.post(from, { who: 'topic', topic, ownerId }, { kind: 'chat', room, message, echo });
  }

  private post(
    { id, principal }: Connection,
    to: Recipients,
    content: Content,
    isText = false,
  ): Delivered {
    const message: Message = {
      kind: content.kind,
      from: { userId: principal.userId, connectionId: id },
      ...(content.room !== undefined && { room: content.room }),
      message: content.message,
      timestamp: new Date().toISOString(),
    };
    const posted: PostedMessage = {
      to,
      ...(content.echo === false && { except: [id] }),
      message,
      isText,
    };
    this.bus.send({ kind: CLIENT_MESSAGE, payload: posted });
    const delivered = this.delivery.deliver(posted);
    if (content.kind === 'broadcast') this.notifier.broadcast(principal, posted);
    return { delivered };
  }
}

interface Content extends Pick<Message, 'kind' | 'room' | 'message'> {
  /** False: not to the connection that sends it. */
  echo?: boolean | undefined;
}

function allOf({ principal }: Connection): Recipients {
  const ownerId = ownerScope(principal, 'connections:manage');
  return ownerId === undefined ? { who: 'everybody' } : { who: 'owner', ownerId };
}

function recipientOf(principal: Principal, to: string): Recipients {
  const ownerId = ownerScope(principal, 'connections:manage');
  if (isId('con', to)) return { who: 'connection', id: to, ownerId };
  return { who: 'user', userId: to, ownerId };
}

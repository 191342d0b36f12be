import { Injectable } from '@nestjs/common';
import { isAdmin, ownerScope, type Principal } from '../../auth/principal.js';
import { AppError } from '../../shared/app-error.js';
import { isId } from '../../shared/ids.js';
import { RealtimeBus } from '../../cluster/realtime-bus.client.js';
import type { Connection } from '../connections/realtime.connection.js';
import type { Delivered, Message, RealtimeErrorCode } from '../realtime-events.js';
import { Requests } from '../subscriptions/requests.service.js';
import { Subscriptions } from '../subscriptions/subscriptions.service.js';
import { MessageDelivery } from './message-delivery.service.js';
import { broadcastRequest, chatRequest, privateRequest } from './message-request.js';
import { MESSAGE_NOTE } from './message-note.js';
import { MessageNotifier } from './message-signals.service.js';
import { PostedMessage, type Recipients, topicOfRoom } from './posted-message.js';

/**
 * What clients say to each other: live, to whoever is there, and not kept. A message stays with the
 * owner of who sends it; an admin speaks to all.
 */
@Injectable()
export class Messages {
  constructor(
    requests: Requests,
    private readonly delivery: MessageDelivery,
    private readonly subscriptions: Subscriptions,
    private readonly bus: RealtimeBus,
    private readonly signals: MessageNotifier,
  ) {
    requests.register('broadcast', (from, payload) => this.broadcast(from, payload));
    requests.register('private', (from, payload) => this.private(from, payload));
    requests.register('chat', (from, payload) => this.chat(from, payload));
    bus.on(MESSAGE_NOTE, (payload) => this.delivery.deliver(PostedMessage.parse(payload)));
  }

  /** Text that is no JSON: to all others, as text to those who can take it like that. */
  text(from: Connection, message: string): void {
    this.post(from, everybodyOf(from), { kind: 'broadcast', message }, true);
  }

  private broadcast(from: Connection, payload: unknown): Delivered {
    const { message } = broadcastRequest(payload);
    return this.post(from, everybodyOf(from), { kind: 'broadcast', message });
  }

  /** Whoever names somebody else's connection learns no more than that it reaches nobody. */
  private private(from: Connection, payload: unknown): Delivered {
    const { to, message } = privateRequest(payload);
    return this.post(from, recipientOf(from.principal, to), { kind: 'private', message });
  }

  /** Whoever speaks in a room is in it from then on. */
  private chat(from: Connection, payload: unknown): Delivered {
    const { room, message } = chatRequest(payload);
    const { ownerId } = from.principal;
    if (room === undefined) {
      return this.post(from, { who: 'owner', ownerId }, { kind: 'chat', message });
    }
    const topic = topicOfRoom(room);
    this.subscriptions.add(from, [topic]);
    return this.post(from, { who: 'topic', topic, ownerId }, { kind: 'chat', room, message });
  }

  private post(
    { id, principal }: Connection,
    to: Recipients,
    said: Pick<Message, 'kind' | 'room' | 'message'>,
    isText = false,
  ): Delivered {
    const message: Message = {
      kind: said.kind,
      from: { userId: principal.ownerId, connectionId: id },
      ...(said.room !== undefined && { room: said.room }),
      message: said.message,
      timestamp: new Date().toISOString(),
    };
    const posted: PostedMessage = { to, message, isText };
    this.bus.send({ kind: MESSAGE_NOTE, payload: posted });
    const delivered = this.delivery.deliver(posted);
    if (said.kind === 'broadcast') this.signals.broadcast(posted);
    return { delivered };
  }
}

const everybodyOf = ({ principal }: Connection): Recipients =>
  isAdmin(principal) ? { who: 'everybody' } : { who: 'owner', ownerId: principal.ownerId };

/** @throws AppError `forbidden` for another user; whether there is one is not told */
function recipientOf(principal: Principal, to: string): Recipients {
  const ownerId = ownerScope(principal);
  if (isId('con', to)) return { who: 'connection', id: to, ownerId };
  if (ownerId === undefined || ownerId === to) return { who: 'owner', ownerId: to };
  const detail = 'A private message goes to a connection of your own user, or to all of them.';
  throw new AppError('forbidden', 'forbidden' satisfies RealtimeErrorCode, detail);
}

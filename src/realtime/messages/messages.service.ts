import { performance } from 'node:perf_hooks';
import { Inject, Injectable } from '@nestjs/common';
import { isGuest, ownerScope, type Principal } from '../../auth/principal.js';
import { CONFIG } from '../../config/config.module.js';
import type { Config } from '../../config/env.js';
import { AppError } from '../../shared/app-error.js';
import { isId } from '../../shared/ids.js';
import { RealtimeBus } from '../../cluster/realtime-bus.client.js';
import { OwnerRateLimiter } from '../connections/rate-limit.js';
import type { Connection } from '../connections/realtime.connection.js';
import type { Delivered, Message, RealtimeErrorCode, RequestPayload } from '../protocol.js';
import { Subscriptions } from '../subscriptions/subscriptions.service.js';
import { MessageDelivery } from './message-delivery.service.js';
import { MessageNotifier } from './message-notifier.service.js';
import { CLIENT_MESSAGE, PostedMessage, type Recipients, topicOfRoom } from './posted-message.js';

/**
 * All guests of a node together send as much as so many of them may: each message goes to many users, and
 * there may be very many guests.
 */
const GUESTS_LIKE_ONE = 20;

/**
 * Messages of clients to each other: sent to the connections that are open, and not stored. A message
 * reaches connections of the sender's owner only; that of an admin or operator may reach all.
 */
@Injectable()
export class Messages {
  private readonly guests: OwnerRateLimiter;

  constructor(
    private readonly delivery: MessageDelivery,
    private readonly subscriptions: Subscriptions,
    private readonly bus: RealtimeBus,
    private readonly notifier: MessageNotifier,
    @Inject(CONFIG) { realtime }: Config,
  ) {
    const perSecond = GUESTS_LIKE_ONE * (realtime.guests?.messagesPerSecond ?? 0);
    this.guests = new OwnerRateLimiter(perSecond, 2 * perSecond);
    bus.on(CLIENT_MESSAGE, (payload) => this.delivery.deliver(PostedMessage.parse(payload)));
  }

  /**
   * Text that is not JSON: to all connections, as text over transports that can send it.
   *
   * @throws AppError `rate_limited`, as every message of a guest
   */
  text(from: Connection, message: string): Delivered {
    return this.post(from, allOf(from), { kind: 'broadcast', message }, true);
  }

  broadcast(from: Connection, { message, echo }: RequestPayload<'broadcast'>): Delivered {
    return this.post(from, allOf(from), { kind: 'broadcast', message, echo });
  }

  /** The answer for a user, client or connection of another tenant is the same as for one that does not exist. */
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
    { id, principal, clientId }: Connection,
    to: Recipients,
    content: Content,
    isText = false,
  ): Delivered {
    if (isGuest(principal) && !this.guests.take(principal.ownerId, performance.now())) {
      throw tooManyOfGuests();
    }
    const message: Message = {
      kind: content.kind,
      from: {
        userId: principal.userId,
        connectionId: id,
        ...(clientId !== undefined && { clientId }),
      },
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
    this.notifier.posted(principal, posted);
    return { delivered };
  }
}

const tooManyOfGuests = (): AppError =>
  new AppError(
    'unavailable',
    'rate_limited' satisfies RealtimeErrorCode,
    'The guests together send too many messages. Try again later.',
  );
interface Content extends Pick<Message, 'kind' | 'room' | 'message'> {
  /** False: not to the connection that sends it. */
  echo?: boolean | undefined;
}

function allOf({ principal }: Connection): Recipients {
  const ownerId = ownerScope(principal, 'connections:manage');
  return ownerId === undefined ? { who: 'everybody' } : { who: 'owner', ownerId };
}

function recipientOf(principal: Principal, to: RequestPayload<'private'>['to']): Recipients {
  const ownerId = ownerScope(principal, 'connections:manage');
  if (typeof to !== 'string') {
    if ('userId' in to) return { who: 'user', userId: to.userId, ownerId };
    if ('clientId' in to) return { who: 'client', clientId: to.clientId, ownerId };
    return { who: 'connection', id: to.connectionId, ownerId };
  }
  // No client id has this form.
  if (isId('con', to)) return { who: 'connection', id: to, ownerId };
  return { who: 'named', name: to, ownerId };
}

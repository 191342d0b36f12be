import { Inject, Injectable } from '@nestjs/common';
import type { Principal } from '../../auth/principal.js';
import { EventTypeCache } from '../../event-types/event-type-cache.service.js';
import { ConnectionEvents } from '../connections/connection-events.js';
import type { Connection } from '../connections/realtime.connection.js';
import { RoomIndex } from '../fanout/room-index.js';
import { roomsOfTopic, roomsOn } from '../fanout/rooms.js';
import { type Topic, topicKey } from '../topic.js';
import { allows, type Channels, requireAllowed, topicsToAdd } from './topic-rights.js';

/**
 * The topics of all connections of this node. Only here is decided what a connection may subscribe to;
 * an event then goes to rooms, and nothing is decided per connection and event. A connection that
 * joins or leaves a room is first sent the events that wait, so the members of a room are right for
 * these events, too.
 */
@Injectable()
export class Subscriptions {
  /** Connections whose end is listened to already. */
  private readonly followed = new WeakSet<Connection>();

  constructor(
    private readonly rooms: RoomIndex<Connection>,
    private readonly events: ConnectionEvents,
    @Inject(EventTypeCache) private readonly channels: Channels,
  ) {}

  /** Whether there are no subscriptions. */
  get isEmpty(): boolean {
    return this.rooms.isEmpty;
  }

  /** @throws AppError `forbidden` for a topic outside the credential */
  requireAllowed(principal: Principal, topic: Topic): void {
    requireAllowed(principal, topic, this.channels);
  }

  /**
   * Whether topics can be added to those of a connection.
   *
   * @throws AppError `forbidden`, `too_many_topics`, as {@link add}
   */
  check(
    principal: Principal,
    topics: readonly Topic[],
    current: ReadonlyMap<string, Topic> = new Map(),
  ): void {
    topicsToAdd(current, topics, principal, this.channels);
  }

  /**
   * Adds topics, all or none.
   *
   * @throws AppError `forbidden` for a topic outside the credential, `too_many_topics`
   */
  add(connection: Connection, topics: readonly Topic[]): void {
    const { principal } = connection;
    const added = topicsToAdd(connection.topics, topics, principal, this.channels);
    // It may have ended while a store was asked; it would stay in its rooms for ever.
    if (!connection.isOpen) return;
    connection.catchUp();
    this.follow(connection);
    for (const topic of added) {
      const subscription = { sinceMs: Date.now(), ...topic };
      connection.topics.set(topicKey(topic), subscription);
      this.events.emit('subscriptionChanged', { connection, subscription, isJoin: true });
      for (const room of roomsOfTopic(principal, topic)) this.rooms.join(room, connection);
    }
  }

  /** Removes topics; those that it does not have are ignored. */
  remove(connection: Connection, topics: Iterable<Topic>): void {
    connection.catchUp();
    for (const topic of topics) {
      const key = topicKey(topic);
      const subscription = connection.topics.get(key);
      if (!subscription) continue;
      connection.topics.delete(key);
      this.events.emit('subscriptionChanged', { connection, subscription, isJoin: false });
      for (const room of roomsOfTopic(connection.principal, topic)) {
        this.rooms.leave(room, connection);
      }
    }
  }

  /**
   * Gives the connection another principal, and moves it to that one's rooms.
   *
   * @returns the topics that the principal may not subscribe to, which are removed
   */
  rebind(connection: Connection, principal: Principal): Topic[] {
    const topics = [...connection.topics.values()];
    this.clear(connection);
    connection.principal = principal;
    const isAllowed = (topic: Topic) => allows(principal, topic, this.channels);
    this.add(connection, topics.filter(isAllowed));
    return topics.filter((topic) => !isAllowed(topic));
  }

  /**
   * The connections that have exactly this topic.
   *
   * @param ownerId undefined: of all owners
   */
  membersOn(topic: Topic, ownerId?: string): Connection[] {
    const { admins, others } = roomsOn(topic, ownerId);
    const isOwners = ({ principal }: Connection) =>
      ownerId === undefined || principal.ownerId === ownerId;
    return [
      ...this.rooms.membersOf(others),
      ...[...this.rooms.membersOf([admins])].filter(isOwners),
    ];
  }

  /** Only once for each connection, however often it subscribes. */
  private follow(connection: Connection): void {
    if (this.followed.has(connection)) return;
    this.followed.add(connection);
    connection.whenEnded(() => this.clear(connection));
  }

  private clear(connection: Connection): void {
    this.remove(connection, [...connection.topics.values()]);
  }
}

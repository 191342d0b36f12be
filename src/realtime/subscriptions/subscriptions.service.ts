import { Injectable } from '@nestjs/common';
import { canSubscribe, type Principal } from '../../auth/principal.js';
import { type AudienceGroup, partitionByAudience } from '../fanout/audience.js';
import type { RoutedEvent } from '../fanout/routed-event.js';
import type { Connection } from '../connections/realtime.connection.js';
import { RoomIndex } from './room-index.js';
import { roomsOfTopic, roomsOn } from './rooms.js';
import { topicsToAdd } from './subscription-request.js';
import { type Subscription, type Topic, topicKey } from './topic.js';

/** Somebody has got a topic, or has it no longer. */
export interface SubscriptionChange {
  connection: Connection;
  subscription: Subscription;
  isJoin: boolean;
}

/**
 * Who has subscribed to what, over all transports. The one place that decides what a connection may
 * hear; an event then goes to rooms, and nothing is decided per connection. Whoever joins or leaves
 * is first sent what waits, so the members of a room are also those of the moment at which an event
 * came that has not been sent yet.
 */
@Injectable()
export class Subscriptions {
  private readonly rooms = new RoomIndex<Connection>();
  private readonly changeListeners: ((change: SubscriptionChange) => void)[] = [];
  /** Those that are taken out of their rooms when they end. */
  private readonly followed = new WeakSet<Connection>();

  /** Whether nobody listens to anything. */
  get isEmpty(): boolean {
    return this.rooms.isEmpty;
  }

  /**
   * Whether the topics could be added.
   *
   * @throws AppError as {@link add}
   */
  check({ topics, principal }: Connection, requested: readonly Topic[]): void {
    topicsToAdd(topics, requested, principal);
  }

  /**
   * Adds topics, all or none.
   *
   * @throws AppError `forbidden` for a topic outside the credential, `too_many_topics`
   */
  add(connection: Connection, topics: readonly Topic[]): void {
    const { principal } = connection;
    const added = topicsToAdd(connection.topics, topics, principal);
    // It may have ended while something was asked for it; nobody would take it out again.
    if (!connection.isOpen) return;
    connection.catchUp();
    this.follow(connection);
    for (const topic of added) {
      const subscription = { sinceMs: Date.now(), ...topic };
      connection.topics.set(topicKey(topic), subscription);
      this.tell({ connection, subscription, isJoin: true });
      for (const room of roomsOfTopic(principal, topic)) this.rooms.join(room, connection);
    }
  }

  /** Removes topics; those that it does not have are no mistake. */
  remove(connection: Connection, topics: Iterable<Topic>): void {
    connection.catchUp();
    for (const topic of topics) {
      const key = topicKey(topic);
      const subscription = connection.topics.get(key);
      if (!subscription) continue;
      connection.topics.delete(key);
      this.tell({ connection, subscription, isJoin: false });
      for (const room of roomsOfTopic(connection.principal, topic)) {
        this.rooms.leave(room, connection);
      }
    }
  }

  /**
   * The connection speaks for this principal from now on. Its rooms follow: an admin is in others.
   *
   * @returns the topics that the principal may not hear, which are removed
   */
  rebind(connection: Connection, principal: Principal): Topic[] {
    const topics = [...connection.topics.values()];
    this.clear(connection);
    connection.principal = principal;
    const isHeard = ({ type }: Topic) => canSubscribe(principal, type);
    this.add(connection, topics.filter(isHeard));
    return topics.filter((topic) => !isHeard(topic));
  }

  /**
   * Those who have exactly this topic.
   *
   * @param ownerId undefined: of all owners
   */
  membersOn(topic: Topic, ownerId?: string): Connection[] {
    const { admins, others } = roomsOn(topic, ownerId);
    const isOwners = ({ principal }: Connection) =>
      ownerId === undefined || principal.ownerId === ownerId;
    return [
      ...this.rooms.membersOf([others]),
      ...[...this.rooms.membersOf([admins])].filter(isOwners),
    ];
  }

  /** Calls back with everybody who gets or loses a topic, before it is in its rooms or after. */
  whenChanged(listener: (change: SubscriptionChange) => void): void {
    this.changeListeners.push(listener);
  }

  /** Whether anybody is in one of the rooms. */
  hasSubscribers(rooms: readonly string[]): boolean {
    return this.rooms.occupied(rooms).length > 0;
  }

  /** Whether the connection is in one of the rooms. */
  isMember(connection: Connection, rooms: readonly string[]): boolean {
    return this.rooms.has(rooms, connection);
  }

  /** Who hears which of the events, everybody once. */
  groupsOf(events: readonly RoutedEvent[]): AudienceGroup<RoutedEvent, Connection>[] {
    return partitionByAudience(events, this.rooms);
  }

  /** Once: many connections come and go on a topic all day long. */
  private follow(connection: Connection): void {
    if (this.followed.has(connection)) return;
    this.followed.add(connection);
    connection.whenEnded(() => this.clear(connection));
  }

  private tell(change: SubscriptionChange): void {
    for (const listener of this.changeListeners) listener(change);
  }

  private clear(connection: Connection): void {
    this.remove(connection, [...connection.topics.values()]);
  }
}

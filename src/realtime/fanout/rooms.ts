import { ownerScope, type Principal } from '../../auth/principal.js';
import { patternsOf } from '../../shared/event-pattern.js';
import { type Topic, topicKey } from '../topic.js';
import type { RealtimeEvent } from '../../shared/envelope.js';
import { EncodedEvent } from './frame.js';

/** An event with the rooms whose members receive it. */
export class RoutedEvent extends EncodedEvent {
  readonly rooms: readonly string[];

  /** @param sequence its number among all events of this node */
  constructor(
    event: RealtimeEvent,
    readonly sequence: number,
  ) {
    super(event);
    this.rooms = roomsOfEvent(event);
  }
}

/**
 * Names of rooms, which decide which connections receive an event. A subscription joins the rooms of
 * its topic in each scope of its principal, an event goes to the union of its rooms, and the two have
 * a room in common exactly when the event is for the subscription. So nothing is decided per
 * connection and event.
 *
 * | scope | its events | its members |
 * |---|---|---|
 * | `owner:<length>:<id>` | those of this owner | the owner's connections |
 * | `public` | those without owner | all but admins and operators |
 * | `all` | all | admins and operators |
 */

/** What decides who receives an event. */
export interface Audience {
  /** Null: the event is public. */
  ownerId: string | null;
  type: string;
  subject: string | null;
}

/** The rooms of a topic for this principal; no two topics have one in common. */
export function roomsOfTopic(principal: Principal, topic: Topic): string[] {
  const ownerId = ownerScope(principal, 'events:receive');
  const scopes = ownerId === undefined ? [ALL] : [roomsOfOwner(ownerId), PUBLIC];
  return scopes.map((scope) => room(scope, topic));
}

/** The rooms that an event goes to: few, as many as its type has segments, times four at most. */
export function roomsOfEvent({ ownerId, type, subject }: Audience): string[] {
  const scopes = [ownerId === null ? PUBLIC : roomsOfOwner(ownerId), ALL];
  const topics = patternsOf(type).flatMap((pattern): Topic[] =>
    subject === null ? [{ type: pattern }] : [{ type: pattern }, { type: pattern, subject }],
  );
  return scopes.flatMap((scope) => topics.map((topic) => room(scope, topic)));
}

/**
 * The rooms of the connections that have exactly this topic.
 *
 * @param ownerId undefined: of all owners
 */
export const roomsOn = (topic: Topic, ownerId?: string): { admins: string; others: string } => ({
  /** Of all owners: admins and operators share one room per topic. */
  admins: room(ALL, topic),
  others: room(ownerId === undefined ? PUBLIC : roomsOfOwner(ownerId), topic),
});

const ALL = 'all';
const PUBLIC = 'public';

/** With its length, because an owner id may contain whatever follows it. */
const roomsOfOwner = (ownerId: string): string => `owner:${ownerId.length}:${ownerId}`;

const room = (scope: string, topic: Topic): string => `${scope}:${topicKey(topic)}`;

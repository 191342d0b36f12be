import { isGuest, ownerScope, type Principal } from '../../auth/principal.js';
import { patternsOf } from '../../shared/event-pattern.js';
import type { RealtimeEvent } from '../../shared/envelope.js';
import { delimited } from '../../shared/ids.js';
import {
  channelKey,
  isChannelTopic,
  nameKey,
  type Topic,
  topicKey,
  withSubject,
} from '../topic.js';
import { EncodedEvent } from './frame.js';

/** An event with the rooms whose members receive it. */
export class RoutedEvent extends EncodedEvent {
  readonly rooms: readonly string[];

  /**
   * @param sequence its number among all events of this node
   * @param channel that of its type, as the catalogue is now
   */
  constructor(
    event: RealtimeEvent,
    readonly sequence: number,
    channel?: string,
  ) {
    super(event, channel);
    this.rooms = roomsOfEvent(event, channel);
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
 * | `owner:<length>:<id>` | those of this owner | the owner's connections, without guests |
 * | `public` | those without owner | all but admins and operators |
 * | `all` | all | admins and operators |
 * | `members:<length>:<id>`, `members-of-all` | none | those that are in no room of the topic itself |
 *
 * A channel has a room, which an event joins by the channel of its type: a type that is added to the
 * channel reaches its subscribers with the next event. A credential with `topics` joins one room of the
 * channel for each of its patterns instead.
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
  const keys = keysOfTopic(principal, topic);
  const rooms = scopesOf(principal).flatMap((scope) => keys.map((key) => room(scope, key)));
  const isLimited = isChannelTopic(topic) && principal.topics !== undefined;
  if (!isLimited && !isGuest(principal)) return rooms;
  const key = topicKey(topic);
  return [...rooms, room(membersOfOwner(principal.ownerId), key), room(MEMBERS, key)];
}

/**
 * The rooms that an event goes to: few, as many as its type has segments, times four at most; and twice
 * as many if its type has a channel.
 */
export function roomsOfEvent({ ownerId, type, subject }: Audience, channel?: string): string[] {
  const patterns = patternsOf(type);
  const names = channel === undefined ? patterns : [...patterns, ...namesIn(channel, patterns)];
  const keys =
    subject === null ? names : names.flatMap((name) => [name, withSubject(name, subject)]);
  const scope = ownerId === null ? PUBLIC : scopeOfOwner(ownerId);
  return [...keys.map((key) => room(scope, key)), ...keys.map((key) => room(ALL, key))];
}

/**
 * The rooms of the connections that have exactly this topic.
 *
 * @param ownerId undefined: of all owners
 */
export function roomsOn(topic: Topic, ownerId?: string): { admins: string; others: string[] } {
  const key = topicKey(topic);
  return {
    /** Of all owners: admins and operators share one room per topic. */
    admins: room(ALL, key),
    others:
      ownerId === undefined
        ? [room(PUBLIC, key), room(MEMBERS, key)]
        : [room(scopeOfOwner(ownerId), key), room(membersOfOwner(ownerId), key)],
  };
}

const ALL = 'all';
const PUBLIC = 'public';
const MEMBERS = 'members-of-all';

function scopesOf(principal: Principal): string[] {
  if (isGuest(principal)) return [PUBLIC];
  const ownerId = ownerScope(principal, 'events:receive');
  return ownerId === undefined ? [ALL] : [scopeOfOwner(ownerId), PUBLIC];
}

function keysOfTopic({ topics }: Principal, topic: Topic): string[] {
  if (!isChannelTopic(topic) || topics === undefined) return [topicKey(topic)];
  return topics.map((pattern) => withSubject(nameIn(nameKey(topic), pattern), topic.subject));
}

const namesIn = (channel: string, patterns: readonly string[]): string[] => {
  const key = channelKey(channel);
  return [key, ...patterns.map((pattern) => nameIn(key, pattern))];
};

/** The events of a channel that the pattern selects. Neither of them can contain `>`. */
const nameIn = (key: string, pattern: string): string => `${key}>${pattern}`;

const scopeOfOwner = (ownerId: string): string => `owner:${delimited(ownerId)}`;
const membersOfOwner = (ownerId: string): string => `members:${delimited(ownerId)}`;

const room = (scope: string, key: string): string => `${scope}:${key}`;

import type { RoomIndex } from './room-index.js';

/** Members that receive the same of several events, which are written to each of them at once. */
export interface AudienceGroup<Event, Member> {
  /** In order. */
  events: readonly Event[];
  members: Iterable<Member>;
}

/**
 * All members that receive one of the events, each in exactly one group with all events that it
 * receives. Nothing is decided per member and event: events with the same occupied rooms have the
 * same audience, and cost one step for each of its members.
 *
 * Most often there is one audience; its members are then the room itself, not a copy.
 */
export function partitionByAudience<Event extends { rooms: readonly string[] }, Member>(
  events: readonly Event[],
  rooms: RoomIndex<Member>,
): AudienceGroup<Event, Member>[] {
  const audiences = [...audiencesOf(events, rooms).values()];
  const [only] = audiences;
  if (!only) return [];
  if (audiences.length === 1) {
    return [{ events: inOrder(events, only.events), members: rooms.membersOf(only.rooms) }];
  }
  const start = new Path<Member>(undefined, []);
  const paths = new Map<Member, Path<Member>>();
  for (const [index, audience] of audiences.entries()) {
    for (const member of rooms.membersOf(audience.rooms)) {
      paths.set(member, (paths.get(member) ?? start).step(index, audience.events));
    }
  }
  for (const [member, path] of paths) path.members.push(member);
  return [...new Set(paths.values())].map((path) => ({
    events: inOrder(events, path.received()),
    members: path.members,
  }));
}

interface Audience {
  rooms: readonly string[];
  /** Indexes. */
  events: number[];
}

function audiencesOf<Member>(
  events: readonly { rooms: readonly string[] }[],
  map: RoomIndex<Member>,
): Map<string, Audience> {
  const audiences = new Map<string, Audience>();
  for (const [index, event] of events.entries()) {
    const rooms = map.occupied(event.rooms);
    if (rooms.length === 0) continue;
    // As JSON, because names may contain any separator.
    const key = JSON.stringify(rooms);
    const audience = audiences.get(key);
    if (audience) audience.events.push(index);
    else audiences.set(key, { rooms, events: [index] });
  }
  return audiences;
}

const inOrder = <Event>(events: readonly Event[], indexes: number[]): Event[] =>
  indexes.toSorted((a, b) => a - b).map((index) => events[index]!);

/** The audiences that a member belongs to; members of the same audiences share the path. */
class Path<Member> {
  readonly members: Member[] = [];
  private readonly next = new Map<number, Path<Member>>();

  constructor(
    private readonly previous: Path<Member> | undefined,
    private readonly events: readonly number[],
  ) {}

  step(audience: number, events: readonly number[]): Path<Member> {
    let path = this.next.get(audience);
    if (!path) this.next.set(audience, (path = new Path(this, events)));
    return path;
  }

  /** Indexes of the events of all its audiences, in no order. */
  received(): number[] {
    return [...(this.previous?.received() ?? []), ...this.events];
  }
}

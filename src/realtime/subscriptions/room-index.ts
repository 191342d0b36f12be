/** Who is in which room. A room exists while somebody is in it. */
export class RoomIndex<T> {
  private readonly rooms = new Map<string, Set<T>>();

  get isEmpty(): boolean {
    return this.rooms.size === 0;
  }

  join(room: string, member: T): void {
    const members = this.rooms.get(room);
    if (members) members.add(member);
    else this.rooms.set(room, new Set([member]));
  }

  leave(room: string, member: T): void {
    const members = this.rooms.get(room);
    if (members?.delete(member) && members.size === 0) this.rooms.delete(room);
  }

  /** Those of the rooms that somebody is in. */
  occupied(rooms: readonly string[]): string[] {
    return rooms.filter((room) => this.rooms.has(room));
  }

  has(rooms: readonly string[], member: T): boolean {
    return rooms.some((room) => this.rooms.get(room)?.has(member));
  }

  /** Everybody in one of the rooms, once. It may be the room itself, and change as the room does. */
  membersOf(rooms: readonly string[]): ReadonlySet<T> {
    const occupied = rooms
      .map((room) => this.rooms.get(room))
      .filter((found) => found !== undefined);
    // Nearly always one room, whose members need not be copied.
    if (occupied.length <= 1) return occupied[0] ?? NOBODY;
    return new Set(occupied.flatMap((members) => [...members]));
  }
}

const NOBODY: ReadonlySet<never> = new Set();

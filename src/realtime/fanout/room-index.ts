/** The members of rooms. A room exists while it has members. */
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

  /** Those of the rooms that have members. */
  occupied(rooms: readonly string[]): string[] {
    return rooms.filter((room) => this.rooms.has(room));
  }

  has(rooms: readonly string[], member: T): boolean {
    return rooms.some((room) => this.rooms.get(room)?.has(member));
  }

  /** The members of all these rooms, each once. May be a live set that changes with its room. */
  membersOf(rooms: readonly string[]): ReadonlySet<T> {
    const occupied = rooms
      .map((room) => this.rooms.get(room))
      .filter((found) => found !== undefined);
    // Nearly always one room, whose members need not be copied.
    if (occupied.length <= 1) return occupied[0] ?? NO_MEMBERS;
    return new Set(occupied.flatMap((members) => [...members]));
  }
}

const NO_MEMBERS: ReadonlySet<never> = new Set();

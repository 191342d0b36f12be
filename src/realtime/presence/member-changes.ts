import type { Member } from '../protocol.js';

export interface Changes {
  joined: Member[];
  left: Member[];
}

/** Joins and leaves of a moment; who has come and gone in it, or gone and come back, was not away. */
export class MemberChanges {
  private readonly changes = new Map<string, { member: Member; isJoin: boolean }>();

  get isEmpty(): boolean {
    return this.changes.size === 0;
  }

  add(member: Member, isJoin: boolean): void {
    const { connectionId } = member;
    const earlier = this.changes.get(connectionId);
    if (earlier && earlier.isJoin !== isJoin) this.changes.delete(connectionId);
    else this.changes.set(connectionId, { member, isJoin });
  }

  /** All of them; from now on there are none. */
  take(): Changes {
    const all = [...this.changes.values()];
    this.changes.clear();
    const members = (isJoin: boolean) =>
      all.filter((change) => change.isJoin === isJoin).map(({ member }) => member);
    return { joined: members(true), left: members(false) };
  }
}

import type { Member } from '../protocol.js';

export interface Changes {
  joined: Member[];
  left: Member[];
}

/** Collects joins and leaves; a join and a leave of the same connection cancel each other. */
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

  /** Returns all of them and removes them. */
  take(): Changes {
    const all = [...this.changes.values()];
    this.changes.clear();
    const members = (isJoin: boolean) =>
      all.filter((change) => change.isJoin === isJoin).map(({ member }) => member);
    return { joined: members(true), left: members(false) };
  }
}

interface NodeMembers {
  version: number;
  members: Map<string, Member>;
}

/**
 * A copy of the members of a topic on every node: a snapshot and the changes since. A change that does
 * not follow on the version of the copy is refused; the node then has to be asked for a snapshot.
 */
export class PresenceMirror {
  private readonly nodes = new Map<string, NodeMembers>();

  /** By node. */
  versions(): Record<string, number> {
    return Object.fromEntries([...this.nodes].map(([node, { version }]) => [node, version]));
  }

  all(): Member[] {
    return [...this.nodes.values()].flatMap(({ members }) => [...members.values()]);
  }

  /** @returns the differences to the copy before */
  snapshot(node: string, version: number, members: readonly Member[]): Changes {
    const before = this.nodes.get(node)?.members ?? new Map<string, Member>();
    const now = new Map(members.map((member) => [member.connectionId, member]));
    this.nodes.set(node, { version, members: now });
    return { joined: missing(now, before), left: missing(before, now) };
  }

  /** @returns what it changed; undefined: a change before it is missing */
  delta(
    node: string,
    { from, to, joined, left }: Changes & { from: number; to: number },
  ): Changes | undefined {
    const known = this.nodes.get(node);
    if (!known || known.version !== from) return undefined;
    known.version = to;
    const added = joined.filter(({ connectionId }) => !known.members.has(connectionId));
    for (const member of added) known.members.set(member.connectionId, member);
    const removed = left.filter(({ connectionId }) => known.members.delete(connectionId));
    return { joined: added, left: removed };
  }

  /** The node cannot be reached any more. @returns its members */
  drop(node: string): Changes {
    const members = this.nodes.get(node)?.members;
    this.nodes.delete(node);
    return { joined: [], left: members ? [...members.values()] : [] };
  }
}

const missing = (from: ReadonlyMap<string, Member>, where: ReadonlyMap<string, Member>): Member[] =>
  [...from.values()].filter(({ connectionId }) => !where.has(connectionId));

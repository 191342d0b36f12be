import type { Member } from '../protocol.js';
import type { Changes } from './member-changes.js';

interface Known {
  version: number;
  members: Map<string, Member>;
}

/**
 * Who is on a topic in each process, as far as it has been told: a snapshot, and then what changes.
 * A change that does not follow on what is known is not taken; the process has to be asked again.
 */
export class PresenceMirror {
  private readonly nodes = new Map<string, Known>();

  /** What is known, by process. */
  versions(): Record<string, number> {
    return Object.fromEntries([...this.nodes].map(([node, { version }]) => [node, version]));
  }

  all(): Member[] {
    return [...this.nodes.values()].flatMap(({ members }) => [...members.values()]);
  }

  /** @returns what is different from what was known */
  snapshot(node: string, version: number, members: readonly Member[]): Changes {
    const before = this.nodes.get(node)?.members ?? new Map<string, Member>();
    const now = new Map(members.map((member) => [member.connectionId, member]));
    this.nodes.set(node, { version, members: now });
    return { joined: missing(now, before), left: missing(before, now) };
  }

  /** @returns what is new in it; undefined: something between is missing */
  delta(
    node: string,
    { from, to, joined, left }: Changes & { from: number; to: number },
  ): Changes | undefined {
    const known = this.nodes.get(node);
    if (!known || known.version !== from) return undefined;
    known.version = to;
    const came = joined.filter(({ connectionId }) => !known.members.has(connectionId));
    for (const member of came) known.members.set(member.connectionId, member);
    const went = left.filter(({ connectionId }) => known.members.delete(connectionId));
    return { joined: came, left: went };
  }

  /** The process has died. @returns who was there */
  drop(node: string): Changes {
    const members = this.nodes.get(node)?.members;
    this.nodes.delete(node);
    return { joined: [], left: members ? [...members.values()] : [] };
  }
}

const missing = (from: ReadonlyMap<string, Member>, where: ReadonlyMap<string, Member>): Member[] =>
  [...from.values()].filter(({ connectionId }) => !where.has(connectionId));

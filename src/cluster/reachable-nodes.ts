interface Entry {
  hasConnections: boolean;
  heartbeatAtMs: number;
}

/** The other nodes whose heartbeats arrive. */
export class ReachableNodes {
  private readonly entries = new Map<string, Entry>();

  /** @param silenceMs a node without heartbeat for so long is unreachable */
  constructor(private readonly silenceMs: number) {}

  /** @returns whether the node is new */
  heartbeat(node: string, hasConnections: boolean, nowMs: number): boolean {
    const isNew = !this.entries.has(node);
    this.entries.set(node, { hasConnections, heartbeatAtMs: nowMs });
    return isNew;
  }

  /** @returns whether it was known */
  remove(node: string): boolean {
    return this.entries.delete(node);
  }

  /** Removes the nodes that have been silent for too long, and returns them. */
  expire(nowMs: number): string[] {
    const silent = [...this.entries]
      .filter(([, { heartbeatAtMs }]) => nowMs - heartbeatAtMs >= this.silenceMs)
      .map(([node]) => node);
    for (const node of silent) this.entries.delete(node);
    return silent;
  }

  /** Those that respond to requests. */
  responding(): string[] {
    return [...this.entries]
      .filter(([, { hasConnections }]) => hasConnections)
      .map(([node]) => node);
  }
}

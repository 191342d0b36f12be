/** Which other processes there are, as far as they have let us hear from them. */
interface Peer {
  answers: boolean;
  heardAtMs: number;
}

export class NodeList {
  private readonly peers = new Map<string, Peer>();

  /** @param patienceMs who has said nothing for so long is gone */
  constructor(private readonly patienceMs: number) {}

  /** @returns whether it is new */
  heard(node: string, answers: boolean, nowMs: number): boolean {
    const isNew = !this.peers.has(node);
    this.peers.set(node, { answers, heardAtMs: nowMs });
    return isNew;
  }

  /** @returns whether it was known */
  remove(node: string): boolean {
    return this.peers.delete(node);
  }

  /** Forgets those that have been silent for too long, and names them. */
  expire(nowMs: number): string[] {
    const gone = [...this.peers]
      .filter(([, { heardAtMs }]) => nowMs - heardAtMs >= this.patienceMs)
      .map(([node]) => node);
    for (const node of gone) this.peers.delete(node);
    return gone;
  }

  /** Those that answer questions. */
  answering(): string[] {
    return [...this.peers].filter(([, { answers }]) => answers).map(([node]) => node);
  }
}

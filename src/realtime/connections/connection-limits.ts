/** Counts connections, so that neither one address nor one owner can take all there are. */
import { AppError } from '../../shared/app-error.js';

export interface ConnectionLimitSettings {
  connections: number;
  connectionsPerIp: number;
  connectionsPerUser: number;
}

export class ConnectionLimits {
  private total = 0;
  private readonly perIp = new Map<string, number>();
  private readonly perUser = new Map<string, number>();

  constructor(private readonly limits: ConnectionLimitSettings) {}

  /**
   * Takes a place.
   *
   * @returns gives it back; may be called again
   * @throws AppError `too_many_connections`
   */
  take(ip: string, user: string): () => void {
    const { limits } = this;
    if (this.total >= limits.connections) throw full('This process');
    if (countOf(this.perIp, ip) >= limits.connectionsPerIp) throw full('This address');
    if (countOf(this.perUser, user) >= limits.connectionsPerUser) throw full('This owner');
    this.change(ip, user, 1);
    let isTaken = true;
    return () => {
      if (isTaken) this.change(ip, user, -1);
      isTaken = false;
    };
  }

  private change(ip: string, user: string, by: 1 | -1): void {
    this.total += by;
    add(this.perIp, ip, by);
    add(this.perUser, user, by);
  }
}

const countOf = (counts: Map<string, number>, key: string): number => counts.get(key) ?? 0;

function add(counts: Map<string, number>, key: string, by: number): void {
  const count = countOf(counts, key) + by;
  if (count === 0) counts.delete(key);
  else counts.set(key, count);
}

const full = (who: string): AppError =>
  new AppError(
    'unavailable',
    'too_many_connections',
    `${who} has as many connections as it may have. Close one, or try again later.`,
  );

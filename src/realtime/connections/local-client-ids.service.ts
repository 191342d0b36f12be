import { Injectable } from '@nestjs/common';
import {
  HoldersRequest,
  type HoldersResponse,
  type Takeover,
  TakeoverRequest,
} from './client-id-messages.js';
import { Connections } from './connections.service.js';
import type { Connection } from './realtime.connection.js';

/** Connections of one node that are named to the others; more with one client id are only counted as one. */
const MAX_NAMED = 100;

/** The client ids of this node: responds with the connections that have them, and ends those replaced. */
@Injectable()
export class LocalClientIds {
  constructor(private readonly connections: Connections) {}

  /** Responds to `client-id-holders`. */
  holders(request: unknown): HoldersResponse {
    return HoldersRequest.parse(request).map((client) =>
      [...this.connections.ofClient(client)]
        .slice(0, MAX_NAMED)
        .map(({ id, principal }) => ({ connectionId: id, userId: principal.userId })),
    );
  }

  /**
   * Responds to `take-over-client-id`: ends the older connections.
   *
   * @returns those of the request that have lost themselves
   */
  takeOver(request: unknown): string[] {
    return TakeoverRequest.parse(request).flatMap((takeover) => {
      const others = [...this.connections.ofClient(takeover)].filter((connection) =>
        competes(connection, takeover),
      );
      const results = others.map((connection) => ({
        connection,
        outcome: outcomeOf(connection, takeover),
      }));
      for (const { connection, outcome } of results) {
        if (outcome === 'loses') connection.close('replaced');
      }
      return results.some(({ outcome }) => outcome === 'wins') ? [takeover.connectionId] : [];
    });
  }
}

/** Never one of another user: a client id is no credential. */
const competes = ({ id, isOpen, principal }: Connection, takeover: Takeover): boolean =>
  isOpen && id !== takeover.connectionId && principal.userId === takeover.userId;

/**
 * Of two that take over from each other, the one is newer that has seen the other. If neither has, they
 * came at once, and the greater id wins; both nodes come to the same result.
 */
export function outcomeOf(
  { id, takeover: own }: Pick<Connection, 'id' | 'takeover'>,
  takeover: Pick<Takeover, 'connectionId' | 'seen'>,
): 'wins' | 'loses' | 'stays' {
  if (own?.seen.includes(takeover.connectionId)) return 'wins';
  if (takeover.seen.includes(id) || id < takeover.connectionId) return 'loses';
  return own ? 'wins' : 'stays';
}

import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { ClusterRpc } from '../../cluster/cluster-rpc.service.js';
import { NodeEvents } from '../../cluster/node-events.js';
import { TIMINGS, type Timings } from '../../config/timings.js';
import { AppError } from '../../shared/app-error.js';
import {
  CLIENT_ID_HOLDERS,
  type Holder,
  HoldersResponse,
  TAKE_OVER_CLIENT_ID,
  type Takeover,
  TakeoverResponse,
} from './client-id-messages.js';
import type { ClientIdentity } from './client-identity.js';
import { ConnectionEvents } from './connection-events.js';
import { Connections } from './connections.service.js';
import type { Admission, Connection } from './realtime.connection.js';

/** Questions, or takeovers, in one request to the other nodes. */
const AT_ONCE = 500;

interface Question {
  ownerId: string;
  clientId: string;
  answer: (holders: Holder[]) => void;
}

/**
 * The client ids of all nodes. A client that names one learns whether another connection of its tenant
 * has it, and may take it over from connections of its own user.
 *
 * Nodes are asked before the connection opens, which finds what was open before; and once more for a
 * takeover after it has opened, which ends the others. So of two that come at once one remains.
 */
@Injectable()
export class ClientIds implements OnModuleDestroy {
  private readonly questions: Question[] = [];
  private isAsking = false;
  private readonly takeovers = new Map<string, Takeover>();
  private isTakingOver = false;
  private isClosing = false;

  constructor(
    private readonly rpc: ClusterRpc,
    private readonly connections: Connections,
    @Inject(TIMINGS) private readonly timings: Timings,
    events: ConnectionEvents,
    nodes: NodeEvents,
  ) {
    events.on('opened', (connection) => this.takeOver(connection));
    // One that was cut off does not know of the takeovers since.
    nodes.on('reachable', () => {
      for (const connection of this.connections.all()) this.takeOver(connection);
    });
  }

  onModuleDestroy(): void {
    this.isClosing = true;
  }

  /**
   * Gives the admitted client its id. A node that does not answer in time is not waited for.
   *
   * @throws AppError `client_id_in_use`: it would replace a connection of another user
   */
  async assign(admission: Admission, { clientId, replaces }: ClientIdentity): Promise<Admission> {
    if (clientId === undefined) return admission;
    const { ownerId, userId } = admission.principal;
    const holders = await this.holdersOf(ownerId, clientId);
    if (!replaces) return { ...admission, clientId, isDuplicate: holders.length > 0 };
    if (holders.some((holder) => holder.userId !== userId)) throw inUse(clientId);
    const seen = holders.map(({ connectionId }) => connectionId);
    return { ...admission, clientId, takeover: { seen } };
  }

  private async holdersOf(ownerId: string, clientId: string): Promise<Holder[]> {
    const holders = new Promise<Holder[]>((answer) => {
      this.questions.push({ ownerId, clientId, answer });
    });
    if (!this.isAsking) void this.ask();
    return holders;
  }

  /** One request at a time: a crowd that reconnects needs few. */
  private async ask(): Promise<void> {
    this.isAsking = true;
    while (this.questions.length > 0) {
      const questions = this.questions.splice(0, AT_ONCE);
      const request = questions.map(({ ownerId, clientId }) => ({ ownerId, clientId }));
      const { results } = await this.rpc.request(CLIENT_ID_HOLDERS, request, HoldersResponse);
      for (const [index, { answer }] of questions.entries()) {
        answer(results.flatMap((result) => result[index] ?? []));
      }
    }
    this.isAsking = false;
  }

  private takeOver(connection: Connection): void {
    const { id, isOpen, principal, clientId, takeover } = connection;
    if (!takeover || clientId === undefined || !isOpen) return;
    const { ownerId, userId } = principal;
    const seen = [...takeover.seen];
    this.takeovers.set(id, { ownerId, userId, clientId, connectionId: id, seen });
    if (!this.isTakingOver) void this.settle();
  }

  /** Those of connections that are still open; they are done when all nodes have answered. */
  private nextTakeovers(): Takeover[] {
    for (const id of this.takeovers.keys()) {
      if (!this.connections.get(id)?.isOpen) this.takeovers.delete(id);
    }
    return [...this.takeovers.values()].slice(0, AT_ONCE);
  }

  /** Repeated until all nodes have answered: what one does not know of would stay there. */
  private async settle(): Promise<void> {
    this.isTakingOver = true;
    for (let next = this.nextTakeovers(); next.length > 0 && !this.isClosing;) {
      const { results, isComplete } = await this.rpc.request(
        TAKE_OVER_CLIENT_ID,
        next,
        TakeoverResponse,
      );
      for (const id of results.flat()) this.connections.get(id)?.close('replaced');
      if (isComplete) this.done(next);
      else await delay(this.timings.rpcTimeoutMs, undefined, { ref: false });
      next = this.nextTakeovers();
    }
    this.isTakingOver = false;
  }

  /** Those that were not requested again meanwhile. */
  private done(takeovers: readonly Takeover[]): void {
    for (const takeover of takeovers) {
      const { connectionId } = takeover;
      if (this.takeovers.get(connectionId) === takeover) this.takeovers.delete(connectionId);
    }
  }
}

const inUse = (clientId: string): AppError =>
  new AppError(
    'forbidden',
    'client_id_in_use',
    `A connection of another user has the client id ${clientId}. Only those of the same user are replaced.`,
  );

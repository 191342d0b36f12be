import { setTimeout as delay } from 'node:timers/promises';
import { Inject, Injectable, type OnModuleDestroy } from '@nestjs/common';
import { ClusterRpc } from '../../cluster/cluster-rpc.service.js';
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
  private asking: Promise<void> | undefined;
  private readonly takeovers = new Map<string, Takeover>();
  private takingOver: Promise<void> | undefined;
  private isClosing = false;

  constructor(
    private readonly rpc: ClusterRpc,
    private readonly connections: Connections,
    @Inject(TIMINGS) private readonly timings: Timings,
    events: ConnectionEvents,
  ) {
    events.on('opened', (connection) => this.takeOver(connection));
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
    this.asking ??= this.ask().finally(() => (this.asking = undefined));
    return holders;
  }

  /** One request at a time: a crowd that reconnects needs few. */
  private async ask(): Promise<void> {
    while (this.questions.length > 0) {
      const questions = this.questions.splice(0, AT_ONCE);
      const request = questions.map(({ ownerId, clientId }) => ({ ownerId, clientId }));
      const { results } = await this.rpc.request(CLIENT_ID_HOLDERS, request, HoldersResponse);
      for (const [index, { answer }] of questions.entries()) {
        answer(results.flatMap((result) => result[index] ?? []));
      }
    }
  }

  private takeOver(connection: Connection): void {
    const { id, principal, clientId, takeover } = connection;
    if (!takeover || clientId === undefined) return;
    const { ownerId, userId } = principal;
    const seen = [...takeover.seen];
    this.takeovers.set(id, { ownerId, userId, clientId, connectionId: id, seen });
    connection.whenEnded(() => this.takeovers.delete(id));
    this.takingOver ??= this.settle().finally(() => (this.takingOver = undefined));
  }

  /** Repeated until all nodes have answered: what one has not heard of would stay there. */
  private async settle(): Promise<void> {
    while (this.takeovers.size > 0 && !this.isClosing) {
      const request = [...this.takeovers.values()].slice(0, AT_ONCE);
      const { results, isComplete } = await this.rpc.request(
        TAKE_OVER_CLIENT_ID,
        request,
        TakeoverResponse,
      );
      for (const id of results.flat()) this.connections.get(id)?.close('replaced');
      if (isComplete) for (const { connectionId } of request) this.takeovers.delete(connectionId);
      else await delay(this.timings.rpcTimeoutMs, undefined, { ref: false });
    }
  }
}

const inUse = (clientId: string): AppError =>
  new AppError(
    'forbidden',
    'client_id_in_use',
    `A connection of another user has the client id ${clientId}. Only those of the same user are replaced.`,
  );

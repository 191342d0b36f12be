import { Injectable } from '@nestjs/common';
import { isGuest } from '../../auth/principal.js';
import { ClusterRpc } from '../../cluster/cluster-rpc.service.js';
import { AppError } from '../../shared/app-error.js';
import type { Connection } from '../connections/realtime.connection.js';
import type { Member, RealtimeErrorCode, RequestAnswer, RequestPayload } from '../protocol.js';
import { Subscriptions } from '../subscriptions/subscriptions.service.js';
import { written } from '../topic.js';
import {
  GET_MEMBERS,
  keyFor,
  type MembersRequest,
  MembersResponse,
  type PresenceKey,
} from './presence-messages.js';
import { PresenceWatches } from './presence-watches.service.js';

/** Members in one response. */
const MAX_MEMBERS = 1_000;

/**
 * Responds to `presence`: the connections of the same owner that have exactly this topic; an admin
 * sees those of all owners. Every node is asked each time, so a dead one is in no response.
 */
@Injectable()
export class Presence {
  constructor(
    private readonly watches: PresenceWatches,
    private readonly rpc: ClusterRpc,
    private readonly subscriptions: Subscriptions,
  ) {}

  /** @throws AppError `forbidden` for a topic outside the credential, `too_many_topics` */
  async present(
    connection: Connection,
    { topic, watch }: RequestPayload<'presence'>,
  ): Promise<RequestAnswer<'presence'>> {
    if (isGuest(connection.principal)) throw notForGuests();
    this.subscriptions.requireAllowed(connection.principal, topic);
    const key = keyFor(connection.principal, topic);
    if (watch === false) this.watches.stop(connection, key);
    const { members, count, isComplete } = watch
      ? await this.watch(connection, key)
      : await this.membersOf(key);
    return {
      topic: written(topic),
      members: members.toSorted(byAge).slice(0, MAX_MEMBERS),
      count,
      truncated: count > MAX_MEMBERS,
      complete: isComplete,
    };
  }

  private async watch(connection: Connection, key: PresenceKey): Promise<Found> {
    const found = await this.watches.start(connection, key);
    return { ...found, count: found.members.length };
  }

  private async membersOf(key: PresenceKey): Promise<Found> {
    const request: MembersRequest = { key, limit: MAX_MEMBERS };
    const { results, isComplete } = await this.rpc.request(GET_MEMBERS, request, MembersResponse);
    return {
      members: results.flatMap(({ members }) => members),
      count: results.reduce((sum, { count }) => sum + count, 0),
      isComplete,
    };
  }
}

/** The users of a tenant are nothing public. */
const notForGuests = (): AppError =>
  new AppError(
    'forbidden',
    'forbidden' satisfies RealtimeErrorCode,
    'Guests do not see who is connected.',
  );

interface Found {
  members: Member[];
  count: number;
  isComplete: boolean;
}

const byAge = (a: Member, b: Member): number =>
  a.since === b.since ? (a.connectionId < b.connectionId ? -1 : 1) : a.since < b.since ? -1 : 1;

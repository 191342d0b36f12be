import { Injectable } from '@nestjs/common';
import { z } from 'zod';
import { mayHear, type Principal } from '../../auth/principal.js';
import { ClusterRpc } from '../../cluster/cluster-rpc.service.js';
import { AppError } from '../../shared/app-error.js';
import type { Connection } from '../connections/realtime.connection.js';
import type { Member, Present, RealtimeErrorCode } from '../realtime-events.js';
import { parsePayload } from '../subscriptions/request-payload.js';
import { Requests } from '../subscriptions/requests.service.js';
import { WrittenTopic } from '../subscriptions/subscription-request.js';
import { type Topic, written } from '../subscriptions/topic.js';
import {
  GET_MEMBERS,
  keyFor,
  type MembersRequest,
  MembersResponse,
  type PresenceKey,
} from './presence-messages.js';
import { PresenceWatches } from './presence-watches.service.js';

const PresenceRequest = z.strictObject({
  topic: WrittenTopic,
  /** True: notify me of changes from now on; false: no longer. */
  watch: z.boolean().optional(),
});

/** Members in one response. */
const MAX_MEMBERS = 1_000;

/**
 * Responds to `presence`: the connections of the same owner that have exactly this topic; an admin
 * sees those of all owners. Every node is asked each time, so a dead one is in no response.
 */
@Injectable()
export class Presence {
  constructor(
    requests: Requests,
    private readonly watches: PresenceWatches,
    private readonly rpc: ClusterRpc,
  ) {
    requests.register('presence', (connection, payload) => this.present(connection, payload));
  }

  private async present(connection: Connection, payload: unknown): Promise<Present> {
    const { topic, watch } = parseRequest(payload, connection.principal);
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

interface Found {
  members: Member[];
  count: number;
  isComplete: boolean;
}

const byAge = (a: Member, b: Member): number =>
  a.since === b.since ? (a.connectionId < b.connectionId ? -1 : 1) : a.since < b.since ? -1 : 1;

/** @throws InvalidInputError, AppError `forbidden` for a topic outside the credential */
function parseRequest(
  payload: unknown,
  principal: Principal,
): { topic: Topic; watch?: boolean | undefined } {
  const request = parsePayload(PresenceRequest, payload);
  if (mayHear(principal, request.topic.type)) return request;
  const detail = `This credential may not listen to ${request.topic.type}.`;
  throw new AppError('forbidden', 'forbidden' satisfies RealtimeErrorCode, detail);
}

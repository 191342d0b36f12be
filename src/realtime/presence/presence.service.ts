import { Injectable } from '@nestjs/common';
import { ClusterRpc } from '../../cluster/cluster-rpc.service.js';
import type { Connection } from '../connections/realtime.connection.js';
import type { Member, Present, RequestPayload } from '../protocol.js';
import { requireAllowed } from '../subscriptions/subscriptions.service.js';
import { written } from '../topic.js';
import { PRESENT } from './presence-interests.service.js';
import { type PresenceKey, keyFor } from './presence-key.js';
import { PresentAnswer, type PresentQuestion } from './presence-notes.js';
import { PresenceWatches } from './presence-watches.service.js';

/** Members of one answer. */
const MAX_MEMBERS = 1_000;

/**
 * Answers who is on a topic: the connections of the same owner that have exactly this topic; an admin
 * sees those of all owners. Nothing is kept about it: every process is asked, so one that has died is
 * in no answer.
 */
@Injectable()
export class Presence {
  constructor(
    private readonly watches: PresenceWatches,
    private readonly peers: ClusterRpc,
  ) {}

  /** @throws AppError `forbidden` for a topic outside the credential, `too_many_topics` */
  async present(
    connection: Connection,
    { topic, watch }: RequestPayload<'presence'>,
  ): Promise<Present> {
    requireAllowed(connection.principal, topic.type);
    const key = keyFor(connection.principal, topic);
    if (watch === false) this.watches.stop(connection, key);
    const { members, count, isComplete } = watch
      ? await this.watch(connection, key)
      : await this.ask(key);
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

  private async ask(key: PresenceKey): Promise<Found> {
    const question: PresentQuestion = { key, limit: MAX_MEMBERS };
    const { answers, isComplete } = await this.peers.ask(PRESENT, question, PresentAnswer);
    return {
      members: answers.flatMap(({ members }) => members),
      count: answers.reduce((sum, { count }) => sum + count, 0),
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

/** What nodes ask and send each other about the members of a topic. */
import { z } from 'zod';
import { ownerScope, type Principal } from '../../auth/principal.js';
import { Member } from '../protocol.js';
import { passedTopic, type Topic, topicKey } from '../topic.js';

/** RPC methods, and the kind of a message. */
export const GET_MEMBERS = 'get-members';
export const WATCH_MEMBERS = 'watch-members';
export const PRESENCE_DELTA = 'presence-delta';

/** The topic whose members are meant, of one owner or of all. */
export const PresenceKey = z.object({
  /** Null: of all owners. */
  ownerId: z.string().nullable(),
  topic: passedTopic,
});
export type PresenceKey = z.output<typeof PresenceKey>;

/** An owner sees its own connections, an admin those of all owners. */
export const keyFor = (principal: Principal, topic: Topic): PresenceKey => ({
  ownerId: ownerScope(principal, 'events:receive') ?? null,
  topic,
});

/** One text per key. */
export const keyText = ({ ownerId, topic }: PresenceKey): string =>
  JSON.stringify([ownerId, topicKey(topic)]);

/** The keys under which a connection of this owner is seen. */
export const keysSeeing = (ownerId: string, topic: Topic): string[] => [
  keyText({ ownerId, topic }),
  keyText({ ownerId: null, topic }),
];

/** Asks for the members now. */
export const MembersRequest = z.object({ key: PresenceKey, limit: z.int() });
export type MembersRequest = z.output<typeof MembersRequest>;

export const MembersResponse = z.object({ count: z.int(), members: z.array(Member) });
export type MembersResponse = z.output<typeof MembersResponse>;

/** Asks for the members now and for every change, until the node has not asked again for a while. */
export const WatchRequest = z.object({
  /** The node that asks. */
  node: z.string(),
  keys: z.array(
    z.object({
      key: PresenceKey,
      /** The versions that it has already, by node. */
      versions: z.record(z.string(), z.int()),
    }),
  ),
});
export type WatchRequest = z.output<typeof WatchRequest>;

/** The members as of a version; only for keys of which the asking node has another version. */
export const WatchResponse = z.object({
  node: z.string(),
  snapshots: z.array(z.object({ key: PresenceKey, version: z.int(), members: z.array(Member) })),
});
export type WatchResponse = z.output<typeof WatchResponse>;

/** What has changed from one version to the next. */
export const PresenceDelta = z.object({
  key: PresenceKey,
  from: z.int(),
  to: z.int(),
  joined: z.array(Member),
  left: z.array(Member),
});
export type PresenceDelta = z.output<typeof PresenceDelta>;

/** Whose presence on what: one owner's, or everybody's, on one topic. */
import { z } from 'zod';
import { ownerScope, type Principal } from '../../auth/principal.js';
import { type Topic, topicKey } from '../topic.js';

export const PresenceKey = z.object({
  /** Null: of all owners. */
  ownerId: z.string().nullable(),
  topic: z.object({ type: z.string(), subject: z.string().optional() }),
});
export type PresenceKey = z.output<typeof PresenceKey>;

/** An owner sees its own; an admin sees all. */
export const keyFor = (principal: Principal, topic: Topic): PresenceKey => ({
  ownerId: ownerScope(principal) ?? null,
  topic,
});

/** One text per key. */
export const keyText = ({ ownerId, topic }: PresenceKey): string =>
  JSON.stringify([ownerId, topicKey(topic)]);

/** The keys under which somebody of this owner is seen. */
export const keysSeeing = (ownerId: string, topic: Topic): string[] => [
  keyText({ ownerId, topic }),
  keyText({ ownerId: null, topic }),
];

/** What processes tell each other about who is on a topic. */
import { z } from 'zod';
import { Member } from '../protocol.js';
import { PresenceKey } from './presence-key.js';

/** Who is on the topic now? */
export const PresentQuestion = z.object({ key: PresenceKey, limit: z.int() });
export type PresentQuestion = z.output<typeof PresentQuestion>;

export const PresentAnswer = z.object({ count: z.int(), members: z.array(Member) });
export type PresentAnswer = z.output<typeof PresentAnswer>;

/** Who is there, and tell me what changes, until I have not asked for a while. */
export const WatchQuestion = z.object({
  /** The process that wants to know. */
  node: z.string(),
  keys: z.array(
    z.object({
      key: PresenceKey,
      /** What it knows already, by process. */
      versions: z.record(z.string(), z.int()),
    }),
  ),
});
export type WatchQuestion = z.output<typeof WatchQuestion>;

/** Those that are there, as of a version; only for keys of which the asker knows another one. */
export const WatchAnswer = z.object({
  node: z.string(),
  snapshots: z.array(z.object({ key: PresenceKey, version: z.int(), members: z.array(Member) })),
});
export type WatchAnswer = z.output<typeof WatchAnswer>;

/** What has changed from one version to the next. */
export const PresenceDelta = z.object({
  key: PresenceKey,
  from: z.int(),
  to: z.int(),
  joined: z.array(Member),
  left: z.array(Member),
});
export type PresenceDelta = z.output<typeof PresenceDelta>;

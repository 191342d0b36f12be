/** What travels between processes: events, and notes that the processes write to each other. */
import { z } from 'zod';
import type { RealtimeEvent } from '../shared/realtime-event.js';
import type { BatchLimits } from './outgoing-batches.js';

export const EventItem: z.ZodType<RealtimeEvent> = z.object({
  id: z.string(),
  ownerId: z.string().nullable(),
  type: z.string(),
  subject: z.string().nullable(),
  transient: z.boolean().optional(),
  body: z.string(),
});

/** Something that one process tells another, or all. Who takes up the payload has to check it. */
export const NoteItem = z.object({
  kind: z.string(),
  /** The process that it is for; absent: all. */
  to: z.string().optional(),
  payload: z.unknown(),
});
export type Note = z.output<typeof NoteItem>;

export const EVENT_LIMITS: BatchLimits = {
  items: 256,
  length: 512 * 1024,
  // Some seconds of a busy publisher, and no more memory than that.
  waitingItems: 20_000,
  waitingLength: 32 * 1024 * 1024,
};

export const NOTE_LIMITS: BatchLimits = {
  items: 256,
  length: 512 * 1024,
  // A note that is late is worth little: a message to somebody who has gone, an answer not awaited.
  waitingItems: 5_000,
  waitingLength: 8 * 1024 * 1024,
};

/** Enough to tell a large one: their payloads are small, or have the size of a frame. */
export const noteLength = (note: Note): number => JSON.stringify(note).length;

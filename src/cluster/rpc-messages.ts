/** The notes that processes write to know of each other, and to ask each other. */
import { z } from 'zod';

export const Here = z.object({
  /** Whether it answers questions, that is, has connections. */
  answers: z.boolean(),
  /** It has just come, and knows nobody. */
  isNew: z.boolean(),
});
export type Here = z.output<typeof Here>;

export const Question = z.object({ id: z.string(), question: z.string(), payload: z.unknown() });
export type Question = z.output<typeof Question>;

export const PeerAnswer = z.object({ id: z.string(), payload: z.unknown() });
export type PeerAnswer = z.output<typeof PeerAnswer>;

/** A message on its way, as the processes hand it to each other. */
import { z } from 'zod';
import type { Topic } from '../subscriptions/topic.js';
import { MESSAGE_KINDS, type Message } from '../realtime-events.js';

const TopicOfRoom = z.object({ type: z.string(), subject: z.string().optional() });

/** Whom a message reaches. With an owner: no connection of another one, whatever else is said. */
export const Recipients = z.discriminatedUnion('who', [
  z.object({ who: z.literal('everybody') }),
  z.object({ who: z.literal('owner'), ownerId: z.string() }),
  z.object({ who: z.literal('connection'), id: z.string(), ownerId: z.string().optional() }),
  z.object({
    who: z.literal('topic'),
    topic: TopicOfRoom,
    ownerId: z.string().optional(),
  }),
]);
export type Recipients = z.output<typeof Recipients>;

export const PostedMessage = z.object({
  to: Recipients,
  message: z.object({
    kind: z.enum(MESSAGE_KINDS),
    from: z.object({ userId: z.string(), connectionId: z.string().optional() }),
    room: z.string().optional(),
    message: z.unknown(),
    timestamp: z.string(),
  }) satisfies z.ZodType<Message>,
  /** It was sent as text, and goes as text to those who can take it like that. */
  isText: z.boolean(),
});
export type PostedMessage = z.output<typeof PostedMessage>;

/** The topic that a room is: whoever has it is in the room. */
export const topicOfRoom = (room: string): Topic => ({ type: 'chat', subject: room });

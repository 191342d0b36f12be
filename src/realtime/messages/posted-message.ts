/** A message on its way to connections, as the nodes pass it to each other. */
import { z } from 'zod';
import { Message } from '../protocol.js';
import { passedTopic, type TypeTopic } from '../topic.js';

/** Names a message between nodes; as a request, it is answered with how many connections got it. */
export const CLIENT_MESSAGE = 'message';

/** Who receives a message. With an owner: no connection of another owner, whatever else is given. */
export const Recipients = z.discriminatedUnion('who', [
  z.object({ who: z.literal('everybody') }),
  z.object({ who: z.literal('owner'), ownerId: z.string() }),
  z.object({ who: z.literal('user'), userId: z.string(), ownerId: z.string().optional() }),
  z.object({ who: z.literal('client'), clientId: z.string(), ownerId: z.string().optional() }),
  /** Users and client ids of this name: all of them. */
  z.object({ who: z.literal('named'), name: z.string(), ownerId: z.string().optional() }),
  z.object({ who: z.literal('connection'), id: z.string(), ownerId: z.string().optional() }),
  z.object({ who: z.literal('topic'), topic: passedTopic, ownerId: z.string().optional() }),
]);
export type Recipients = z.output<typeof Recipients>;

export const PostedMessage = z.object({
  to: Recipients,
  message: Message,
  /** Connections that do not get it, although they are among its recipients. */
  except: z.array(z.string()).optional(),
  /** It was sent as text, and is sent as text over transports that can. */
  isText: z.boolean(),
});
export type PostedMessage = z.output<typeof PostedMessage>;

/** The topic that stands for a room of `chat`: its subscribers are the members of the room. */
export const topicOfRoom = (room: string): TypeTopic => ({ type: 'chat', subject: room });

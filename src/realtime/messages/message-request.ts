/** What clients may say to each other: the frames of `broadcast`, `private` and `chat`. */
import { z } from 'zod';
import { jsonProblem } from '../../shared/json-values.js';
import { plainText } from '../../shared/zod-fields.js';
import { parsePayload } from '../subscriptions/request-payload.js';

/** As long as the subject of a topic, which a room is. */
const MAX_ROOM_LENGTH = 256;
/** More than any owner or connection id has. */
const MAX_RECIPIENT_LENGTH = 128;

/** Any JSON that reaches every receiver as it was meant; how large it is, the frame limits. */
export const messageContent = z
  .custom<unknown>((value) => value !== undefined, 'is required')
  .superRefine((value, context) => {
    const problem = jsonProblem(value);
    if (problem) context.addIssue({ code: 'custom', ...problem });
  });

const BroadcastRequest = z.strictObject({ message: messageContent });

const PrivateRequest = z.strictObject({
  to: plainText(MAX_RECIPIENT_LENGTH),
  message: messageContent,
});

const ChatRequest = z.strictObject({
  room: plainText(MAX_ROOM_LENGTH).optional(),
  message: messageContent,
});

/** @throws InvalidInputError */
export const broadcastRequest = (payload: unknown): { message: unknown } =>
  parsePayload(BroadcastRequest, payload);

/** @throws InvalidInputError */
export const privateRequest = (payload: unknown): { to: string; message: unknown } =>
  parsePayload(PrivateRequest, payload);

/** @throws InvalidInputError */
export const chatRequest = (payload: unknown): { room?: string | undefined; message: unknown } =>
  parsePayload(ChatRequest, payload);

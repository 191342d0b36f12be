/** The frame of `presence`. */
import { z } from 'zod';
import { canSubscribe, type Principal } from '../../auth/principal.js';
import { AppError } from '../../shared/app-error.js';
import { parsePayload } from '../subscriptions/request-payload.js';
import type { RealtimeErrorCode } from '../realtime-events.js';
import { WrittenTopic } from '../subscriptions/subscription-request.js';
import type { Topic } from '../subscriptions/topic.js';

const PresenceRequest = z.strictObject({
  topic: WrittenTopic,
  /** True: tell me what changes from now on; false: no longer. */
  watch: z.boolean().optional(),
});

/** @throws InvalidInputError, AppError `forbidden` for a topic outside the credential */
export function presenceRequest(
  payload: unknown,
  principal: Principal,
): { topic: Topic; watch?: boolean | undefined } {
  const request = parsePayload(PresenceRequest, payload);
  if (canSubscribe(principal, request.topic.type)) return request;
  const detail = `This credential may not listen to ${request.topic.type}.`;
  throw new AppError('forbidden', 'forbidden' satisfies RealtimeErrorCode, detail);
}

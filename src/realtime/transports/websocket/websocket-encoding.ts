import type { Encoding, Frame } from '../../fanout/frame.js';
import type { Answer } from '../../realtime-events.js';
import { PING_FRAME, textFrame } from '../../fanout/websocket-frame.js';
import type { RequestId } from './websocket-message.js';

/** Frames of a plain WebSocket: objects with a `type`. An envelope goes in as the text that it is. */
export const WEBSOCKET_ENCODING: Encoding = {
  separator: '',
  event: ({ body }) => textMessage(`{"type":"event","event":${body}}`),
  notice: (type, payload) => textMessage(JSON.stringify({ type, ...payload })),
  text: (text) => textMessage(text),
};

/** The answer to a request, with the id that the client gave it. */
export const acknowledgement = (
  request: string | undefined,
  requestId: RequestId | undefined,
  answer: Answer,
): Frame => textMessage(JSON.stringify({ type: 'ack', request, requestId, ...answer }));

/** A message as it is. */
const textMessage = (text: string): Frame => ({ text, bytes: textFrame(text) });

/**
 * Twice, because a client shows with any of the two answers that it is there: its library answers
 * the one of the protocol, and where a proxy does, its application answers the other.
 */
export const HEARTBEAT: Frame = heartbeat('{"type":"ping"}');

function heartbeat(text: string): Frame {
  return { text, bytes: Buffer.concat([textFrame(text), PING_FRAME]) };
}

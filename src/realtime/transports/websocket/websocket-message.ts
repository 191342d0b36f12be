/** What a client has sent over a plain WebSocket. */
import type { Refusal, RequestName } from '../../protocol.js';

/** What a frame without `type` is. */
const MESSAGE: RequestName = 'message';

export type WebSocketMessage =
  | {
      kind: 'request';
      name: string;
      requestId: RequestId | undefined;
      payload: object;
      /** It had no `type`: its client expects no acknowledgement that it has not asked for. */
      isBare: boolean;
    }
  /** Not JSON: broadcast as text. */
  | { kind: 'text'; text: string }
  | { kind: 'pong' }
  | { kind: 'bad'; refusal: Refusal; requestId?: RequestId | undefined };

/** Chosen by the client, to find the answer to its request. */
export type RequestId = string | number;

const MAX_REQUEST_ID_LENGTH = 128;

export function readMessage(text: string): WebSocketMessage {
  let frame: unknown;
  try {
    frame = JSON.parse(text);
  } catch {
    return { kind: 'text', text };
  }
  if (typeof frame !== 'object' || frame === null || Array.isArray(frame)) {
    return bad(
      'payload: must be a JSON object, or text that is not JSON; {"message": …} sends any JSON',
    );
  }
  const { type, requestId, ...payload } = frame as Record<string, unknown>;
  if (requestId !== undefined && !isRequestId(requestId)) {
    return bad(
      `requestId: must be a number, or text of at most ${MAX_REQUEST_ID_LENGTH} characters`,
    );
  }
  if (type === undefined) {
    return { kind: 'request', name: MESSAGE, requestId, payload, isBare: true };
  }
  if (typeof type !== 'string') return { ...bad('type: must be text'), requestId };
  if (type === 'pong') return { kind: 'pong' };
  return { kind: 'request', name: type, requestId, payload, isBare: false };
}

const isRequestId = (value: unknown): value is RequestId =>
  // Not 1e999: it parses as Infinity, which JSON cannot write.
  Number.isFinite(value) || (typeof value === 'string' && value.length <= MAX_REQUEST_ID_LENGTH);

const bad = (message: string) =>
  ({ kind: 'bad', refusal: { code: 'invalid_input', message } }) as const;

import type { Refusal } from './tidings-error.js';

/** Sends frames to the server and receives its frames. Use one of this package, or your own. */
export interface Transport {
  /**
   * Starts one connection; the client decides about reconnecting. Calls `onFrame` for each frame in the
   * order of arrival, and `onClose` once after the last frame, also if the connection was never open;
   * neither of them before `open` has returned.
   */
  open(request: OpenRequest): Link;
}

export interface OpenRequest {
  /** As it was given to `connect`. */
  url: string;
  /** Or an API key; each may stand wherever the other may. */
  token: string | undefined;
  /** A name for this client; with `replace`, older connections of its user with this name end. */
  clientId?: string | undefined;
  replace?: boolean | undefined;
  /** Whether this connection is sent its own broadcasts and chats; undefined: it is. */
  echo?: boolean | undefined;
  /** @param name e.g. `connected`, `event`, `message`, `error`, `draining` */
  onFrame: (name: string, payload: unknown, details?: FrameDetails) => void;
  onClose: (end: LinkEnd) => void;
}

/** What comes beside the payload of a frame. */
export interface FrameDetails {
  /** With `event`: the channel of its type; absent: it has none. */
  channel?: string | undefined;
}

export interface Link {
  /** Sends a frame and returns the server's answer. May never settle if the link is closed. */
  request(name: string, payload: object): Promise<Answer>;
  close(): void;
}

/** Why a link has ended. */
export interface LinkEnd {
  /** For people. */
  reason: string;
  /** The close code of a WebSocket: from 3500 to 3999 the client must not reconnect. */
  code?: number;
  /** The server's reason, if it refused the connection. */
  refusal?: Refusal;
}

/** The server's acknowledgement of a request. */
export type Answer =
  | {
      ok: true;
      /** To `subscribe` with `after`: false if the log does not reach back that far. */
      recovered?: boolean;
      /** To `subscribe`: a place in the log, for a client that has no event to resume after. */
      position?: string;
      /** To `auth:refresh`: topics that the new token may not receive. */
      dropped?: readonly unknown[];
    }
  | { ok: false; error: Refusal };

/** Reads an acknowledgement; any other value counts as a refusal. */
export function asAnswer(value: unknown): Answer {
  if (typeof value === 'object' && value !== null && 'ok' in value) return value as Answer;
  return {
    ok: false,
    error: { code: 'unreadable_answer', message: 'The answer is not an acknowledgement.' },
  };
}

import type { Refusal } from './tidings-error.js';

/** How frames get to the server and back. One of ours, or your own. */
export interface Transport {
  /**
   * Begins to connect, once: coming back is the client's part. Calls `onFrame` for each frame in the
   * order of arrival, and `onClose` once, when nothing will come any more, also if it never opened;
   * neither of them before it has returned.
   */
  open(request: OpenRequest): Link;
}

export interface OpenRequest {
  /** As it was given to `connect`. */
  url: string;
  token: string | undefined;
  /** @param name e.g. `connected`, `event`, `message`, `error`, `draining` */
  onFrame: (name: string, payload: unknown) => void;
  onClose: (end: LinkEnd) => void;
}

export interface Link {
  /** Sends a frame and gives the server's answer. May stay open for ever if the link is closed. */
  request(name: string, payload: object): Promise<Answer>;
  close(): void;
}

/** Why a link is no more. */
export interface LinkEnd {
  /** For people. */
  reason: string;
  /** The close code of a WebSocket: from 3500 to 3999 the server does not want this client back. */
  code?: number;
  /** The server's word, if it refused the connection. */
  refusal?: Refusal;
}

/** What the server acknowledges with. */
export type Answer =
  | {
      ok: true;
      /** To `subscribe` with `after`: false if the log does not reach back that far. */
      recovered?: boolean;
      /** To `auth:refresh`: topics that the new token may not hear. */
      dropped?: readonly unknown[];
    }
  | { ok: false; error: Refusal };

/** An answer as it came; a server that answers with anything else has not done it. */
export function asAnswer(value: unknown): Answer {
  if (typeof value === 'object' && value !== null && 'ok' in value) return value as Answer;
  return { ok: false, error: { code: 'unreadable_answer', message: 'The answer is none.' } };
}

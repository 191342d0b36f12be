import type { AppError } from '../shared/app-error.js';

/**
 * Why the server ends a connection, or refuses it for now, for every transport. The range of the code says whether the
 * client should come back: 3000 to 3499 yes, 3500 to 3999 no. A plain WebSocket gets the code in its
 * closing frame; Socket.IO and event streams get the name in an `error`, with `reconnect`.
 */
export const CLOSE_REASONS = {
  /** Follows `draining`, which says when to come back. */
  draining: { code: 3000, message: 'The server is about to stop.' },
  /** The client comes back with a new one. */
  token_expired: { code: 3001, message: 'The token has expired.' },
  slow_consumer: { code: 3002, message: 'The client does not read what it is sent.' },
  no_answer: { code: 3003, message: 'The client has not answered the heartbeat.' },
  rate_limited: { code: 3004, message: 'The client goes on sending more than it may.' },
  /** During a resume, or on an event stream, which has no other way to report a failure. */
  history_unavailable: { code: 3005, message: 'What was missed cannot be read at the moment.' },
  /** Refused; a place becomes free when another connection ends. */
  too_many_connections: { code: 3006, message: 'There are as many connections as there may be.' },
  /** Refused: too many clients of this address have not presented a credential yet. */
  too_many_handshakes: { code: 3007, message: 'Too many clients connect at once.' },
  /** Refused: the credential cannot be checked, because a store does not answer. */
  temporarily_unavailable: { code: 3008, message: 'The server cannot do this at the moment.' },
  invalid_api_key: { code: 3500, message: 'The API key is unknown or was revoked.' },
  api_key_expired: { code: 3501, message: 'The API key has expired.' },
  /** The newer one has the same client id and the same user. */
  replaced: { code: 3503, message: 'A newer connection of this client has taken over.' },
  closed_by_operator: { code: 3502, message: 'An operator has closed the connection.' },
} as const satisfies Record<string, { code: number; message: string }>;

export type CloseReason = keyof typeof CLOSE_REASONS;

const FIRST_FINAL_CODE = 3500;

/**
 * Why a client is turned away for now; undefined: what is refused stays refused. What passes is refused
 * below the protocol of each transport, in a way after which a client goes on reconnecting by itself.
 */
export const passingReason = ({ kind, code }: AppError): CloseReason | undefined => {
  if (kind !== 'unavailable') return undefined;
  return Object.hasOwn(CLOSE_REASONS, code) ? (code as CloseReason) : 'temporarily_unavailable';
};

/** Whether a client whose connection ended for this reason should connect again. */
export const mayReconnect = (reason: CloseReason): boolean =>
  CLOSE_REASONS[reason].code < FIRST_FINAL_CODE;

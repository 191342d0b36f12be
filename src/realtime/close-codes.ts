/**
 * Why the server ends a connection, for every transport. The range of the code says whether the
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
  invalid_api_key: { code: 3500, message: 'The API key is unknown or was revoked.' },
  api_key_expired: { code: 3501, message: 'The API key has expired.' },
  closed_by_operator: { code: 3502, message: 'An operator has closed the connection.' },
} as const satisfies Record<string, { code: number; message: string }>;

export type CloseReason = keyof typeof CLOSE_REASONS;

const FIRST_FINAL_CODE = 3500;

/** Whether a client whose connection ended for this reason should connect again. */
export const mayReconnect = (reason: CloseReason): boolean =>
  CLOSE_REASONS[reason].code < FIRST_FINAL_CODE;

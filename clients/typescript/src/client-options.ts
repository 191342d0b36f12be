import type { Backoff } from './backoff.js';
import type { Welcome } from './connection.js';
import type { TidingsEvent } from './events.js';
import type { ReceivedMessage } from './messages.js';
import type { Gap } from './session.js';
import type { TidingsError } from './tidings-error.js';
import type { Transport } from './transport.js';

/**
 * `waiting`: for the next attempt to connect. `disconnected`: until `connect` is called. `closed`: for
 * good.
 */
export type ClientState = 'connecting' | 'connected' | 'waiting' | 'disconnected' | 'closed';

/** The end of a connection. */
export interface Disconnection {
  /** For people. */
  reason: string;
  /** Whether the client connects again by itself. */
  willReconnect: boolean;
}

/** What `on` listens to, and what a listener is given. */
export interface ClientEvents {
  /** Every change of `state`. */
  state: ClientState;
  /** Each new connection, also after a loss. */
  connected: Welcome;
  /** The end of a connection. */
  disconnected: Disconnection;
  /** The server is about to stop; the client connects again at the time that it names. */
  draining: { reconnectInMs: number };
  /** As `onError`. */
  error: TidingsError;
  /** Each event once, as it arrives, before the handlers of its subscriptions. */
  event: TidingsEvent;
  /** A message of another client, or of the operator. */
  message: ReceivedMessage;
  /** As `onGap`. */
  gap: Gap;
  /** As `onPosition`. */
  position: string;
}

export interface ClientOptions {
  /** Where Tidings is, e.g. `https://tidings.example.com`; also below a path. */
  url: string;
  /** Authenticates the client; without any credential it is a guest, where the server lets guests in. For tokens that expire while the client runs use `getToken`. */
  token?: string | undefined;
  /** Called for a token before each connection, and before the current token expires. */
  getToken?: (() => string | Promise<string>) | undefined;
  /** Authenticates a service, instead of a token. Not for pages, whose visitors can read it. */
  apiKey?: string | undefined;
  /**
   * A name that this client gives itself: others see it, and may write to it. Without a credential, where
   * the server lets guests in, it is all that they know of this client.
   */
  clientId?: string | undefined;
  /** Ends older connections of the same user with this `clientId`, for which the state becomes `closed`. */
  replace?: boolean | undefined;
  /** How frames are sent: `webSocket()`, `socketIo(io)`, or an implementation of your own. */
  transport: Transport;
  /** Whether to connect at once. False: `connect` does; `publish` and `history` need no connection. */
  autoConnect?: boolean | undefined;
  /** Whether the client gets its own broadcasts and chats back. Default true. */
  echo?: boolean | undefined;
  /** {@link TidingsClient.lastEventId} before a restart of the application; the client resumes there. */
  after?: string | undefined;
  /**
   * How many of the latest event ids are remembered, so that handlers get none of them twice.
   * Default 10,000, which is about 1 MB.
   */
  windowSize?: number;
  /**
   * How far before the last event the client resumes after a short absence, in milliseconds. This
   * includes events that were late when the connection ended; events that were already received are
   * dropped. Default 5,000.
   */
  overlapMs?: number;
  /** Also between the tries of a request over HTTP. */
  backoff?: Partial<Backoff>;
  /**
   * How long the server may send nothing while a request is open, and how long one over HTTP may take,
   * in milliseconds. Default 20,000.
   */
  timeoutMs?: number;
  /** Instead of the platform's, for requests over HTTP. */
  fetch?: typeof fetch;
  /** Events were missed that are no longer in the log: load the current state again. */
  onGap?: (gap: Gap) => void;
  /**
   * Something failed: a connection (the client reconnects, unless the state becomes `closed`), a
   * subscription, or a handler. Without `onError` or a listener, errors of handlers are thrown as
   * uncaught errors.
   */
  onError?: (error: TidingsError) => void;
  onState?: (state: ClientState) => void;
  /** Called whenever {@link TidingsClient.lastEventId} has changed: store it here. */
  onPosition?: (lastEventId: string) => void;
}

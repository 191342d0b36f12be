/** The public interface of the package. */
export type { Backoff } from './backoff.js';
export type { TidingsClient } from './client.js';
export type { ClientEvents, ClientState, Disconnection } from './client-options.js';
export { connect, type ConnectOptions } from './connect.js';
export type { ChannelTopic, EventOf, TidingsEvent, Topic, TopicOf } from './events.js';
export type { Welcome } from './connection.js';
export type {
  Delivered,
  MessageOptions,
  Messages,
  ReceivedMessage,
  Recipient,
} from './messages.js';
export type { Member, Presence, PresenceChange, PresenceWatch, Present } from './presence.js';
export type {
  HistoryQuery,
  LoggedEvent,
  NewEvent,
  Published,
  PublishedBatch,
  PublishOptions,
} from './publisher.js';
export type { Gap } from './session.js';
export { type Io, socketIo, type SocketIoSocket } from './socket-io-transport.js';
export type { Subscription } from './subscriptions.js';
export { TidingsError } from './tidings-error.js';
export type { Answer, FrameDetails, Link, LinkEnd, OpenRequest, Transport } from './transport.js';
export {
  webSocket,
  type WebSocketConstructor,
  type WebSocketLike,
  type WebSocketOptions,
} from './web-socket-transport.js';
export {
  verifyWebhook,
  type VerifyOptions,
  type WebhookHeaders,
  type WebhookProblem,
  WebhookVerificationError,
} from './verify-webhook.js';

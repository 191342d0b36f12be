import type { SystemEventType } from '../shared/system-event-types.js';

/** The types of the system's own events. They cannot be changed, and have no schema. */
export const BUILT_IN_TYPES: Readonly<Record<SystemEventType, string>> = {
  'client-connected': 'A client has connected.',
  'client-disconnected': 'A connection has ended, or its node has stopped.',
  'message-broadcast': 'A client has sent a message to all clients.',
  'server-status': 'A node has started, is about to stop, or its health has changed.',
  'broadcast-stats': 'Statistics of the live connections, published periodically.',
  'webhook.disabled': 'A webhook was disabled because of the responses of its receiver.',
  'webhook.circuit_opened': 'A webhook has failed repeatedly: its deliveries are paused.',
  'webhook.circuit_closed': 'A webhook works again.',
  'delivery.dead_lettered': 'A delivery has failed for good and is kept for inspection.',
};

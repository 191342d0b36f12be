import type { SystemEventType } from '../shared/system-event-types.js';

/** What the system tells about itself. Its types cannot be changed, and carry no schema. */
export const BUILT_IN_TYPES: Readonly<Record<SystemEventType, string>> = {
  'client-connected': 'A client has connected.',
  'client-disconnected': 'A connection has ended, or its process has.',
  'message-broadcast': 'A client has sent a message to everybody.',
  'server-status': 'A process has started, is about to stop, or its health has changed.',
  'broadcast-stats': 'Figures of the live connections, from time to time.',
  'webhook.disabled': 'A webhook was switched off because of what its receiver answered.',
  'webhook.circuit_opened': 'A webhook has failed so often that its deliveries wait.',
  'webhook.circuit_closed': 'A webhook works again.',
  'delivery.dead_lettered': 'A delivery was given up and is kept for inspection.',
};

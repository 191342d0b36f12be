import { EventEmitter } from 'node:events';
import type { Subscription } from '../topic.js';
import type { Connection } from './realtime.connection.js';

/** A connection has got a topic, or has lost it. */
export interface SubscriptionChange {
  connection: Connection;
  subscription: Subscription;
  isJoin: boolean;
}

/**
 * What happens to the connections of this node, for the parts that keep a record of them. An `opened`
 * follows right after the connection's `connected`; a `subscriptionChanged` comes while its rooms
 * change, so a listener may see them before or after.
 */
export class ConnectionEvents extends EventEmitter<{
  opened: [Connection];
  subscriptionChanged: [SubscriptionChange];
}> {}

import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { Client, type Dispatcher } from 'undici';
import type { GuardedConnector } from './guarded-connector.client.js';
import { PendingRequest } from './pending-request.client.js';

const IS_CUT = new Error('The connection was cut');

/**
 * One connection of a pool, which carries one request at a time and can be cut.
 *
 * undici's own way to abort a request closes the socket, too, but then connects anew at once, for
 * nobody: a struggling receiver would get another connection for every request that timed out.
 */
export class Connection extends Client {
  private socket: Socket | undefined;

  constructor(origin: URL, options: Client.Options, connector: GuardedConnector) {
    super(origin, {
      ...options,
      connect: (target, callback) => {
        this.socket = connector.open(target, callback);
      },
    });
    // undici reports what its callbacks throw as 'error', which ends a process if nobody listens.
    (this as EventEmitter).on('error', () => undefined);
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler) {
    if (options instanceof PendingRequest) options.connection = this;
    return super.dispatch(options, handler);
  }

  /** Ends the connection, or the attempt to open it, and fails the request that is on it. */
  cut(): void {
    this.socket?.destroy(IS_CUT);
  }
}

/** Socket.IO's server and sockets, with our words. */
import type { DefaultEventsMap, Server, Socket } from 'socket.io';
import type { Admission } from '../../connections/realtime.connection.js';
import type { ClientToServer, ServerToClient } from '../../realtime-events.js';

/** What the handshake leaves at the socket. */
interface SocketData {
  admission: Admission;
}

export type RealtimeServer = Server<ClientToServer, ServerToClient, DefaultEventsMap, SocketData>;
export type RealtimeSocket = Socket<ClientToServer, ServerToClient, DefaultEventsMap, SocketData>;

/** How often the server pings; a connection that does not answer within the timeout ends. */
export const HEARTBEAT_MS = 25_000;
export const PING_TIMEOUT_MS = 20_000;

/** Where Socket.IO listens, on the port of the application. */
export const SOCKET_IO_PATH = '/socket.io';

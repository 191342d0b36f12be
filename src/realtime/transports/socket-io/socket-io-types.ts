import type { DefaultEventsMap, Server, Socket } from 'socket.io';
import type { Admission } from '../../connections/realtime.connection.js';

/** Set by the handshake. */
interface SocketData {
  admission: Admission;
  /** Whether events come with the channel of their type. */
  namesChannels: boolean;
  /** Where the log was; absent: it cannot be read. */
  position?: string;
}

/** Names and payloads are those of the protocol: frames are encoded and validated outside Socket.IO. */
type Events = DefaultEventsMap;
export type RealtimeServer = Server<Events, Events, Events, SocketData>;
export type RealtimeSocket = Socket<Events, Events, Events, SocketData>;

/** How often the server pings; a connection that does not answer within the timeout ends. */
export const HEARTBEAT_MS = 25_000;
export const PING_TIMEOUT_MS = 20_000;

/** Where Socket.IO listens, on the port of the application. */
export const SOCKET_IO_PATH = '/socket.io';

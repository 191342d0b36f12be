import { type OnGatewayConnection, WebSocketGateway } from '@nestjs/websockets';
import { Connections } from '../../connections/connections.service.js';
import { Requests } from '../requests.service.js';
import { type Acknowledge, SocketIoConnection } from './socket-io.connection.js';
import type { RealtimeSocket } from './socket-io-types.js';

/** Connections and requests over Socket.IO. `RealtimeAdapter` has authenticated each socket. */
@WebSocketGateway()
export class SocketIoGateway implements OnGatewayConnection {
  constructor(
    private readonly connections: Connections,
    private readonly requests: Requests,
  ) {}

  handleConnection(socket: RealtimeSocket): void {
    const connection = new SocketIoConnection(socket);
    // A packet that is no event costs as much, and is not answered.
    socket.conn.on('data', (packet: unknown) => {
      if (typeof packet === 'string' && !isEvent(packet)) this.requests.admit(connection);
    });
    // Also for names that are no request, which are answered with `unknown_event`.
    socket.onAny((name: unknown, ...args: unknown[]) => {
      void this.carryOut(connection, name, args);
    });
    const { position } = socket.data;
    this.connections.open(connection, position === undefined ? {} : { position });
  }

  private async carryOut(
    connection: SocketIoConnection,
    name: unknown,
    args: unknown[],
  ): Promise<void> {
    const ack = typeof args.at(-1) === 'function' ? (args.pop() as Acknowledge) : undefined;
    // No request has several arguments; validation refuses the array.
    const payload = args.length > 1 ? args : args[0];
    const answered = this.requests.answer(connection, name, payload);
    const answer = answered instanceof Promise ? await answered : answered;
    if (answer === undefined) return;
    if (ack) connection.acknowledge(ack, answer);
    else if (!answer.ok) connection.notify('error', { ...answer.error, reconnect: false });
  }
}

/** `EVENT` and `BINARY_EVENT` of Socket.IO. */
const isEvent = (packet: string): boolean => packet.startsWith('2') || packet.startsWith('5');

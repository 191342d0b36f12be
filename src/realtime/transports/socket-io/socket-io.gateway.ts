import { type OnGatewayConnection, WebSocketGateway } from '@nestjs/websockets';
import { Connections } from '../../connections/connections.service.js';
import { Requests } from '../../subscriptions/requests.service.js';
import { type Acknowledge, SocketIoConnection } from './socket-io.connection.js';
import type { RealtimeSocket } from './socket-io-types.js';

/**
 * Carries what Socket.IO's clients ask for. Whoever gets here was authenticated at the handshake,
 * which `RealtimeAdapter` makes.
 */
@WebSocketGateway()
export class SocketIoGateway implements OnGatewayConnection {
  constructor(
    private readonly connections: Connections,
    private readonly requests: Requests,
  ) {}

  handleConnection(socket: RealtimeSocket): void {
    const connection = new SocketIoConnection(socket);
    // One listener for names that exist and for all others.
    socket.onAny((name: unknown, ...args: unknown[]) => {
      void this.carry(connection, name, args);
    });
    this.connections.open(connection);
  }

  private async carry(
    connection: SocketIoConnection,
    name: unknown,
    args: unknown[],
  ): Promise<void> {
    const ack = typeof args.at(-1) === 'function' ? (args.pop() as Acknowledge) : undefined;
    // Several arguments are none of our messages; they are refused as a whole.
    const payload = args.length > 1 ? args : args[0];
    const answered = this.requests.answer(connection, name, payload);
    const answer = answered instanceof Promise ? await answered : answered;
    if (answer === undefined) return;
    if (ack) connection.acknowledge(ack, answer);
    else if (!answer.ok) connection.say('error', { ...answer.error, reconnect: false });
  }
}

import { io, type Socket } from 'socket.io-client';
import { tokenFor } from '../../support/tokens.js';
import type { LedgerRecord } from '../ledger/records.js';

/** A socket client of an owner that comes back by itself, and writes down what it is sent. */
export class Listener {
  private socket: Socket | undefined;
  private address = '';
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly ownerId: string,
    private readonly pattern: string,
    private readonly baseUrl: () => string,
    private readonly write: (record: LedgerRecord) => void,
  ) {
    this.follow();
    // A process that was started again listens elsewhere; a load balancer would know.
    this.timer = setInterval(() => this.follow(), 250);
  }

  close(): void {
    clearInterval(this.timer);
    this.socket?.close();
  }

  private follow(): void {
    if (this.baseUrl() === this.address) return;
    this.address = this.baseUrl();
    this.socket?.close();
    const token = tokenFor(this.ownerId);
    const options = { forceNew: true, transports: ['websocket'], reconnectionDelay: 200 };
    const socket = io(this.address, { ...options, auth: { token } });
    this.socket = socket;
    socket.on('connect', () => socket.emit('subscribe', { topics: [this.pattern] }, () => 0));
    socket.on('event', (event: { id: string }) => {
      const [body, at] = [JSON.stringify(event), Date.now()];
      this.write({ kind: 'heard', at, ownerId: this.ownerId, eventId: event.id, body });
    });
  }
}

import { io, type Socket } from 'socket.io-client';
import { tokenFor } from '../../support/tokens.js';
import type { LedgerRecord } from '../ledger/records.js';

/**
 * How much of what it has heard already a client asks for again. Over an outage a late event may come
 * after a newer one, so the newest is no place to go on from.
 */
const OVERLAP_MS = 10_000;
const BETWEEN_TRIES_MS = 250;

interface Subscription {
  ok: boolean;
  recovered?: boolean;
}

/**
 * A socket client of an owner that comes back by itself, goes on where it was, and writes down what
 * it is sent.
 */
export class Listener {
  private socket: Socket | undefined;
  private address = '';
  private readonly timer: NodeJS.Timeout;
  private readonly heardAt = new Map<string, number>();

  constructor(
    readonly ownerId: string,
    private readonly pattern: string,
    private readonly baseUrl: () => string,
    private readonly write: (record: LedgerRecord) => void,
  ) {
    this.follow();
    // A process that was started again listens elsewhere; a load balancer would know.
    this.timer = setInterval(() => this.follow(), BETWEEN_TRIES_MS);
  }

  has(eventId: string): boolean {
    return this.heardAt.has(eventId);
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
    socket.on('connect', () => this.subscribe(socket));
    socket.on('event', (event: { id: string }) => {
      const [body, at, { ownerId }] = [JSON.stringify(event), Date.now(), this];
      this.write({ kind: 'heard', at, ownerId, eventId: event.id, body });
      if (!this.heardAt.has(event.id)) this.heardAt.set(event.id, at);
    });
  }

  /** Until it is told that it may; a connection that ends meanwhile begins again by itself. */
  private subscribe(socket: Socket): void {
    const { pattern, ownerId } = this;
    const after = this.position;
    const { id } = socket;
    const request = { topics: [pattern], ...(after !== null && { after }) };
    socket.emit('subscribe', request, ({ ok, recovered = false }: Subscription) => {
      const at = Date.now();
      if (ok) {
        this.write({ kind: 'subscribed', at, ownerId, pattern, after, isRecovered: recovered });
        return;
      }
      setTimeout(() => {
        if (socket.connected && socket.id === id) this.subscribe(socket);
      }, BETWEEN_TRIES_MS);
    });
  }

  /** The newest that is old enough, or the first of all. */
  private get position(): string | null {
    const ids = [...this.heardAt.keys()];
    const until = Date.now() - OVERLAP_MS;
    return ids.findLast((id) => this.heardAt.get(id)! < until) ?? ids[0] ?? null;
  }
}

import { io, type Socket } from 'socket.io-client';
import { tokenFor } from '../../support/tokens.js';
import type { LedgerRecord } from '../ledger/records.js';

/**
 * How far before its last event a client resumes. After an outage a late event may arrive after a
 * newer one, so resuming after the newest one could lose it.
 */
const OVERLAP_MS = 10_000;
const RETRY_PAUSE_MS = 250;

interface Subscription {
  ok: boolean;
  recovered?: boolean;
}

/**
 * A socket client of an owner that reconnects by itself, resumes, and records the events that it
 * receives.
 */
export class Listener {
  private socket: Socket | undefined;
  private address = '';
  private readonly timer: NodeJS.Timeout;
  private readonly receivedAt = new Map<string, number>();

  constructor(
    readonly ownerId: string,
    private readonly pattern: string,
    private readonly baseUrl: () => string,
    private readonly write: (record: LedgerRecord) => void,
  ) {
    this.follow();
    // A restarted process listens on another port; in production a load balancer handles this.
    this.timer = setInterval(() => this.follow(), RETRY_PAUSE_MS);
  }

  has(eventId: string): boolean {
    return this.receivedAt.has(eventId);
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
      this.write({ kind: 'pushed', at, ownerId, eventId: event.id, body });
      if (!this.receivedAt.has(event.id)) this.receivedAt.set(event.id, at);
    });
  }

  /** Repeats the request until it is accepted, or the connection ends. */
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
      }, RETRY_PAUSE_MS);
    });
  }

  /** The newest event that is old enough, or the first one. */
  private get position(): string | null {
    const ids = [...this.receivedAt.keys()];
    const until = Date.now() - OVERLAP_MS;
    return ids.findLast((id) => this.receivedAt.get(id)! < until) ?? ids[0] ?? null;
  }
}

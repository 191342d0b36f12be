import { createServer, type Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Server } from 'socket.io';
import { type WebSocket, WebSocketServer } from 'ws';
import type { TidingsEvent } from '../src/events.js';

type Frame = Record<string, unknown>;

/** One client, over either transport. */
interface Peer {
  send(name: string, payload: object): void;
  isOpen(): boolean;
  /** The index of its next event in the log; undefined until it subscribes. */
  next: number | undefined;
}

const PIECE = 7;

/**
 * Implements the protocol of Tidings over real sockets, with a log in memory. Every client gets all
 * events. The log is sent in small parts, so that a connection can be cut in the middle of a replay.
 */
export class ProtocolServer {
  readonly log: TidingsEvent[] = [];
  private readonly peers = new Set<Peer>();

  private constructor(
    private readonly http: HttpServer,
    private readonly io: Server,
  ) {}

  static async start(): Promise<ProtocolServer> {
    const http = createServer();
    const io = new Server(http);
    const server = new ProtocolServer(http, io);
    const plain = new WebSocketServer({ noServer: true, handleProtocols: () => 'bearer' });
    http.on('upgrade', (request, socket, head) => {
      if (!request.url?.startsWith('/ws')) return;
      plain.handleUpgrade(request, socket, head, (ws) => server.takePlain(ws));
    });
    io.on('connection', (socket) => {
      const peer = server.welcome({
        send: (name, payload) => void socket.emit(name, payload),
        isOpen: () => socket.connected,
        next: undefined,
      });
      socket.on('subscribe', (request: { after?: string }, ack: (answer: object) => void) => {
        void server.subscribe(peer, request).then(ack);
      });
    });
    await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.http.address() as AddressInfo).port}`;
  }

  publish(): string {
    const id = `evt_${this.log.length + 1}`;
    this.log.push({ id, type: 'a', timestamp: '', data: {} });
    for (const peer of this.peers) if (peer.next === this.log.length - 1) this.sendNext(peer);
    return id;
  }

  async close(): Promise<void> {
    await this.io.close();
  }

  private takePlain(socket: WebSocket): void {
    const say = (frame: object) => socket.send(JSON.stringify(frame));
    const peer = this.welcome({
      send: (type, payload) =>
        say(type === 'event' ? { type, event: payload } : { type, ...payload }),
      isOpen: () => socket.readyState === socket.OPEN,
      next: undefined,
    });
    socket.on('error', () => undefined);
    socket.on('message', (data: Buffer) => {
      const { type, requestId, ...request } = JSON.parse(data.toString()) as Frame;
      if (type !== 'subscribe') return;
      void this.subscribe(peer, request).then((answer) =>
        say({ type: 'ack', request: type, requestId, ...answer }),
      );
    });
  }

  private welcome(peer: Peer): Peer {
    this.peers.add(peer);
    peer.send('connected', { connectionId: 'con_1', heartbeatMs: 25_000 });
    return peer;
  }

  private async subscribe(peer: Peer, { after }: { after?: string }): Promise<object> {
    const from = after === undefined ? this.log.length : Number(after.slice('evt_'.length));
    let next = from;
    while (next < this.log.length && peer.isOpen()) {
      const piece = this.log.slice(next, next + PIECE);
      for (const event of piece) peer.send('event', event);
      next += piece.length;
      await new Promise(setImmediate);
    }
    peer.next = next;
    return { ok: true, topics: ['*'], recovered: true, replayed: next - from };
  }

  private sendNext(peer: Peer): void {
    const event = this.log[peer.next!]!;
    peer.next!++;
    if (peer.isOpen()) peer.send('event', event);
    else this.peers.delete(peer);
  }
}

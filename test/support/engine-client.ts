import { once } from 'node:events';
import { request } from 'node:http';
import { type ClientOptions, WebSocket } from 'ws';

const TIMEOUT_MS = 15_000;

/** Separates the packets in a polling payload. */
export const SEPARATOR = '\x1e';

interface PollAnswer {
  status: number;
  body: string;
}

/** A client for Engine.IO over polling, one request at a time. */
export class PollingSession {
  private constructor(
    private readonly url: string,
    private readonly headers: Record<string, string>,
    readonly handshake: Record<string, unknown>,
  ) {}

  /** Opens a session; the handshake is the first packet. */
  static async open(url: string, headers: Record<string, string> = {}): Promise<PollingSession> {
    const answer = await fetch(`${url}/socket.io/?EIO=4&transport=polling`, { headers });
    const text = await answer.text();
    if (answer.status !== 200) throw new Error(`${answer.status} ${text}`);
    return new PollingSession(url, headers, JSON.parse(text.slice(1)) as Record<string, unknown>);
  }

  get sid(): string {
    return String(this.handshake['sid']);
  }

  async poll(): Promise<PollAnswer> {
    const answer = await fetch(this.address, { headers: this.headers });
    return { status: answer.status, body: await answer.text() };
  }

  async push(...packets: string[]): Promise<PollAnswer> {
    const body = packets.join(SEPARATOR);
    const answer = await fetch(this.address, { method: 'POST', body, headers: this.headers });
    return { status: answer.status, body: await answer.text() };
  }

  /** Starts a poll and aborts it before packets arrive. */
  async abandonPoll(): Promise<void> {
    const poll = request(this.address, { headers: this.headers, agent: false });
    poll.on('error', () => undefined);
    poll.end();
    await once(poll, 'finish');
    poll.destroy();
  }

  /** Polls until all of these packets have arrived, and returns all that arrived. */
  async packetsUntil(isLast: (packet: string) => boolean): Promise<string[]> {
    const packets: string[] = [];
    while (!packets.some(isLast)) {
      const { status, body } = await this.poll();
      if (status !== 200) throw new Error(`${status}, after ${JSON.stringify(packets)}`);
      for (const packet of body.split(SEPARATOR)) {
        if (packet === '2') await this.push('3');
        else packets.push(packet);
      }
    }
    return packets;
  }

  private get address(): string {
    return `${this.url}/socket.io/?EIO=4&transport=polling&sid=${this.sid}`;
  }
}

/** A client for Engine.IO over WebSocket. Stores packets until the test reads them. */
export class EngineSocket {
  private readonly received: (string | Buffer)[] = [];
  private readonly waiting = new Set<() => void>();
  readonly closed: Promise<void>;

  private constructor(private readonly socket: WebSocket) {
    socket.on('message', (data: Buffer, isBinary) => {
      this.received.push(isBinary ? data : data.toString());
      for (const resolve of this.waiting) resolve();
      this.waiting.clear();
    });
    socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => void socket.once('close', () => resolve()));
  }

  /** @param query parameters beside the transport */
  static async open(
    url: string,
    options: ClientOptions = {},
    query = 'EIO=4',
  ): Promise<EngineSocket> {
    const address = `${url.replace('http', 'ws')}/socket.io/?${query}&transport=websocket`;
    const socket = new WebSocket(address, options);
    const client = new EngineSocket(socket);
    await once(socket, 'open');
    return client;
  }

  /** The packets before the server closes a refused connection; there should be none. */
  static async refused(url: string, query: string): Promise<(string | Buffer)[]> {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/socket.io/?${query}`);
    const client = new EngineSocket(socket);
    await client.closed;
    return client.received;
  }

  get isOpen(): boolean {
    return this.socket.readyState === WebSocket.OPEN;
  }

  send(...packets: (string | Buffer)[]): void {
    for (const packet of packets) this.socket.send(packet);
  }

  /** The next packet of any type. */
  async next(): Promise<string | Buffer> {
    const deadline = AbortSignal.timeout(TIMEOUT_MS);
    while (this.received.length === 0) {
      await new Promise<void>((resolve, reject) => {
        this.waiting.add(resolve);
        const missing = () => reject(new Error('no packet came'));
        deadline.addEventListener('abort', missing, { once: true });
      });
    }
    return this.received.shift()!;
  }

  /** The next packet that is not a heartbeat; heartbeats are answered. */
  async nextMessage(): Promise<string | Buffer> {
    for (;;) {
      const packet = await this.next();
      if (packet !== '2') return packet;
      this.send('3');
    }
  }

  /** The next packet that begins with this text. */
  async nextOf(start: string): Promise<string> {
    for (;;) {
      const packet = await this.nextMessage();
      if (typeof packet === 'string' && packet.startsWith(start)) return packet;
    }
  }

  close(): void {
    this.socket.terminate();
  }
}

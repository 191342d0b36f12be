import { once } from 'node:events';
import { request } from 'node:http';
import { type ClientOptions, WebSocket } from 'ws';

const PATIENCE_MS = 15_000;

/** Between the packets of a payload of polling. */
export const SEPARATOR = '\x1e';

interface PollAnswer {
  status: number;
  body: string;
}

/** Engine.IO over polling, request by request, as the protocol describes it. */
export class PollingSession {
  private constructor(
    private readonly url: string,
    private readonly headers: Record<string, string>,
    readonly handshake: Record<string, unknown>,
  ) {}

  /** Opens a session; its handshake was the first packet. */
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

  /** Asks for packets, and goes before they come. */
  async abandonPoll(): Promise<void> {
    const poll = request(this.address, { headers: this.headers, agent: false });
    poll.on('error', () => undefined);
    poll.end();
    await once(poll, 'finish');
    poll.destroy();
  }

  /** Polls until all of these have come, and answers with what has. */
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

/** Engine.IO over WebSocket, packet by packet. Keeps what comes until it is asked for. */
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

  /** @param query beside the transport */
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

  /** What comes before the server ends a connection that it does not want; nothing should. */
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

  /** The next packet, whatever it is. */
  async next(): Promise<string | Buffer> {
    const deadline = AbortSignal.timeout(PATIENCE_MS);
    while (this.received.length === 0) {
      await new Promise<void>((resolve, reject) => {
        this.waiting.add(resolve);
        const missing = () => reject(new Error('no packet came'));
        deadline.addEventListener('abort', missing, { once: true });
      });
    }
    return this.received.shift()!;
  }

  /** The next packet that is no heartbeat; those are answered. */
  async nextMessage(): Promise<string | Buffer> {
    for (;;) {
      const packet = await this.next();
      if (packet !== '2') return packet;
      this.send('3');
    }
  }

  /** The next of them that begins like this. */
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

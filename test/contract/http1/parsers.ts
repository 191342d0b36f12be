import { once } from 'node:events';
import { Agent, type IncomingMessage, request } from 'node:http';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { Client } from 'undici';
import { ResponseParser } from '../../../src/outbound/http1/response-parser.js';

/** How one HTTP client reads the bytes of a response, after which the server closes. */
export interface Reading {
  /** Whether the response was read to its end. */
  isComplete: boolean;
  /** Absent when the head was not accepted. */
  status?: number;
  /** Empty unless complete: parsers may pass on more or less of a broken body. */
  body: string;
  /** Whether the connection can carry another request; undefined where a client does not show it. */
  isReusable?: boolean;
}

const broken = (status?: number): Reading => ({
  isComplete: false,
  ...(status !== undefined && { status }),
  body: '',
});

/** Reads with our parser. @param splits ascending offsets at which the bytes are split */
export function readWithOurs(bytes: Buffer, splits: readonly number[] = []): Reading {
  let status: number | undefined;
  const body: Buffer[] = [];
  const parser = new ResponseParser({
    onInformational: () => undefined,
    onHead: (statusCode) => void (status = statusCode),
    onBody: (chunk) => void body.push(Buffer.from(chunk)),
  });
  const ends = [...splits, bytes.length];
  let progress = parser.feed(bytes.subarray(0, ends[0]));
  for (let index = 1; index < ends.length && progress === 'incomplete'; index++) {
    progress = parser.feed(bytes.subarray(ends[index - 1], ends[index]));
  }
  if (progress === 'incomplete') progress = parser.end();
  if (progress !== 'complete') return broken(status);
  const text = Buffer.concat(body).toString('latin1');
  return { isComplete: true, status: status!, body: text, isReusable: parser.isPersistent };
}

/** A TCP server that sends prepared bytes to every request and closes, and two clients that read them. */
export class ReferenceParsers {
  private readonly sockets = new Set<Socket>();
  private response: Buffer = Buffer.alloc(0);

  private constructor(private readonly server: Server) {
    server.on('connection', (socket) => this.respond(socket));
  }

  static async start(): Promise<ReferenceParsers> {
    const server = createServer({ noDelay: true });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    return new ReferenceParsers(server);
  }

  async stop(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    await new Promise((resolve) => this.server.close(resolve));
  }

  /** Reads with undici's client, whose parser is llhttp compiled to WebAssembly. */
  async readWithUndici(bytes: Buffer): Promise<Reading> {
    this.response = bytes;
    const client = new Client(`http://127.0.0.1:${this.port}`);
    let status: number | undefined;
    try {
      const response = await client.request({ method: 'POST', path: '/', body: '{}' });
      status = response.statusCode;
      const body = Buffer.from(await response.body.arrayBuffer()).toString('latin1');
      return { isComplete: true, status, body };
    } catch {
      return broken(status);
    } finally {
      await client.destroy();
    }
  }

  /** Reads with Node's own client, whose parser is llhttp in C. */
  async readWithNode(bytes: Buffer): Promise<Reading> {
    this.response = bytes;
    const agent = new Agent({ keepAlive: true });
    const options = { host: '127.0.0.1', port: this.port, method: 'POST', agent };
    let status: number | undefined;
    try {
      const sent = request(options).end('{}');
      const closed = once(sent, 'close').then(() => Promise.reject(new Error('No response')));
      closed.catch(() => undefined);
      const [response] = (await Promise.race([once(sent, 'response'), closed])) as [
        IncomingMessage,
      ];
      status = response.statusCode!;
      const isReusable = sent.shouldKeepAlive;
      const chunks = (await response.toArray()) as Buffer[];
      const body = Buffer.concat(chunks).toString('latin1');
      return { isComplete: true, status, body, isReusable };
    } catch {
      return broken(status);
    } finally {
      agent.destroy();
    }
  }

  private get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  private respond(socket: Socket): void {
    this.sockets.add(socket);
    socket
      .on('error', () => undefined)
      .on('close', () => this.sockets.delete(socket))
      .once('data', () => socket.end(this.response));
  }
}

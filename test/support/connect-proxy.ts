import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import type { CertificateAndKey } from './certificate-authority.js';

/** What the proxy does with a CONNECT: opens a tunnel, answers a status, or nothing at all. */
export type ProxyBehaviour = 'tunnel' | 'silence' | number;

/** A forward proxy for CONNECT as organisations run them, on loopback. It records what it was asked for. */
export class ConnectProxy {
  /** The targets of the CONNECT requests. */
  readonly asked: string[] = [];
  readonly authorizations: (string | undefined)[] = [];
  behaviour: ProxyBehaviour = 'tunnel';
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly scheme: string,
  ) {
    server.on('connection', (socket: Socket) => this.track(socket));
    server.on('connect', (request: IncomingMessage, socket: Socket) =>
      this.onConnect(request, socket),
    );
  }

  /** @param port of a proxy that was closed before */
  static async start(port = 0, certificate?: CertificateAndKey): Promise<ConnectProxy> {
    const server = certificate ? createTlsServer(certificate) : createServer();
    const proxy = new ConnectProxy(server, certificate ? 'https' : 'http');
    await once(server.listen(port, '127.0.0.1'), 'listening');
    return proxy;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  url(credentials = '', host = '127.0.0.1'): string {
    return `${this.scheme}://${credentials}${host}:${this.port}`;
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    if (this.server.listening) await new Promise((resolve) => this.server.close(resolve));
  }

  private onConnect({ url = '', headers }: IncomingMessage, client: Socket): void {
    this.asked.push(url);
    this.authorizations.push(headers['proxy-authorization']);
    client.on('error', () => undefined);
    if (this.behaviour === 'silence') return;
    if (this.behaviour !== 'tunnel') {
      client.end(`HTTP/1.1 ${this.behaviour} No\r\ncontent-length: 0\r\n\r\n`);
      return;
    }
    const [, host = '', port = ''] = /^\[?(.*?)\]?:(\d+)$/.exec(url) ?? [];
    const upstream = connect(Number(port), host);
    this.track(upstream);
    upstream.once('connect', () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      client.pipe(upstream).pipe(client);
    });
    upstream.on('error', () => client.end('HTTP/1.1 502 Bad Gateway\r\n\r\n'));
    upstream.once('close', () => client.destroy());
    client.once('close', () => upstream.destroy());
  }

  private track(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('close', () => this.sockets.delete(socket));
  }
}

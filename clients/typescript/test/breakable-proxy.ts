import { connect, createServer, type Server, type Socket, type AddressInfo } from 'node:net';

/** A TCP proxy to a server, which can reset all connections at any time. */
export class BreakableProxy {
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    /** Clients use it instead of the server's URL. */
    readonly url: string,
  ) {}

  static async to(target: string): Promise<BreakableProxy> {
    const { hostname, port } = new URL(target);
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const proxy = new BreakableProxy(
      server,
      `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    );
    server.on('connection', (near) => {
      const far = connect(Number(port), hostname);
      proxy.join(near, far);
      proxy.join(far, near);
    });
    return proxy;
  }

  cut(): void {
    for (const socket of this.sockets) socket.resetAndDestroy();
  }

  async close(): Promise<void> {
    this.cut();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private join(from: Socket, to: Socket): void {
    this.sockets.add(from);
    from.pipe(to);
    from.on('error', () => to.destroy());
    from.on('close', () => {
      this.sockets.delete(from);
      to.destroy();
    });
  }
}

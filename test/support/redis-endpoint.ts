import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';

/** What a connection to the endpoint meets. */
export type Conduct =
  | { kind: 'forward' }
  /** Accepts, and closes when the client has sent so many bytes. */
  | { kind: 'close'; afterRequestBytes: number }
  /** Forwards, and resets the connection when Redis has answered so many bytes. */
  | { kind: 'cut'; afterAnswerBytes: number }
  /** Accepts and never speaks. */
  | { kind: 'silence' }
  /** Forwards the new connections; those that exist stay open, and nothing passes any more. */
  | { kind: 'freeze' }
  /** Says this at once and to everything that it receives; then closes, if so. */
  | { kind: 'say'; bytes: Buffer | string; closes?: boolean };

/** Where a product reaches its Redis, and what may go wrong between them. */
export class RedisEndpoint {
  private conduct: Conduct = { kind: 'forward' };
  private readonly sockets = new Set<Socket>();
  private readonly forwarded = new Set<[Socket, Socket]>();

  private constructor(
    private readonly server: Server,
    private readonly redisPort: number,
  ) {
    server.on('connection', (client) => this.accept(client));
  }

  static async to(redisPort: number): Promise<RedisEndpoint> {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.unref();
    return new RedisEndpoint(server, redisPort);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  url(credentials = ''): string {
    return `redis://${credentials}127.0.0.1:${this.port}`;
  }

  /** From now on, also towards the connections that exist. */
  behave(conduct: Conduct): void {
    const before = this.conduct;
    this.conduct = conduct;
    if (conduct.kind === 'freeze') {
      for (const pair of this.forwarded) for (const socket of pair) socket.pause();
      for (const pair of this.forwarded)
        for (const socket of pair) socket.removeAllListeners('data');
      this.forwarded.clear();
    } else if (before.kind !== 'freeze') {
      for (const socket of this.sockets) socket.destroy();
    }
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }

  private accept(client: Socket): void {
    const { conduct } = this;
    this.add(client);
    switch (conduct.kind) {
      case 'forward':
      case 'freeze':
        return this.forward(client, Infinity);
      case 'cut':
        return this.forward(client, conduct.afterAnswerBytes);
      case 'close': {
        if (conduct.afterRequestBytes === 0) return void client.end();
        client.on('data', () => {
          if (client.bytesRead >= conduct.afterRequestBytes) client.end();
        });
        return;
      }
      case 'silence':
        return void client.resume();
      case 'say': {
        const say = () =>
          conduct.closes ? client.end(conduct.bytes) : client.write(conduct.bytes);
        client.on('data', say);
        say();
      }
    }
  }

  private forward(client: Socket, answerBytes: number): void {
    const redis = connect(this.redisPort, '127.0.0.1');
    this.add(redis);
    const pair: [Socket, Socket] = [client, redis];
    this.forwarded.add(pair);
    client.on('data', (chunk: Buffer) => redis.write(chunk));
    let left = answerBytes;
    redis.on('data', (chunk: Buffer) => {
      client.write(chunk.subarray(0, left));
      left -= chunk.length;
      if (left <= 0) client.resetAndDestroy();
    });
    for (const [from, to] of [pair, [redis, client] as const]) {
      from.once('close', () => {
        this.forwarded.delete(pair);
        to.destroy();
      });
    }
  }

  private add(socket: Socket): void {
    socket.setNoDelay(true);
    socket.on('error', () => undefined);
    this.sockets.add(socket);
    socket.once('close', () => this.sockets.delete(socket));
  }
}

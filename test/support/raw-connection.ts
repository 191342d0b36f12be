import { connect, type Socket } from 'node:net';
import { eventually } from './eventually.js';

/** A TCP connection to a server, for what no HTTP client would send. */
export class RawConnection {
  /** Everything that came over it. */
  received = '';
  isClosed = false;

  private constructor(private readonly socket: Socket) {
    // Latin-1: one character per byte.
    socket.setEncoding('latin1').on('data', (text: string) => (this.received += text));
    socket.on('error', () => undefined).on('close', () => (this.isClosed = true));
  }

  /** @param baseUrl of the server, on 127.0.0.1 */
  static open(baseUrl: string): RawConnection {
    return new RawConnection(connect(Number(new URL(baseUrl).port), '127.0.0.1'));
  }

  /** Sends parts one after another, each in a packet of its own as far as the kernel allows. */
  async send(...parts: (string | Buffer)[]): Promise<void> {
    for (const part of parts) {
      await new Promise<void>((resolve) => {
        if (this.socket.destroyed) resolve();
        else this.socket.write(part, () => setImmediate(resolve));
      });
    }
  }

  /** What came until the server closed the connection. */
  async untilClosed(): Promise<string> {
    await eventually(() => {
      if (!this.isClosed) throw new Error(`still open, after:\n${this.received.slice(0, 2_000)}`);
    });
    return this.received;
  }

  /** The statuses of the responses so far. */
  get statuses(): number[] {
    const lines = this.received.matchAll(/HTTP\/1\.1 (\d{3}) /g);
    return [...lines].map(([, status]) => Number(status));
  }

  close(): void {
    this.socket.destroy();
  }
}

import type { Socket } from 'node:net';

/** How long the client may take to read the response, and how much it may send meanwhile. */
interface Limits {
  /** Without another byte of it. */
  silenceMs: number;
  totalMs: number;
  bytes: number;
}

const LIMITS: Limits = { silenceMs: 1_000, totalMs: 5_000, bytes: 16 * 1024 * 1024 };

/**
 * Ends a connection on which the client may still be sending. Closing it at once would reset it, and
 * the client could lose a response that has been sent (RFC 9112, 9.6). So the connection is ended on
 * this side only, and what still arrives is discarded for a short time.
 */
export function lingeringClose(socket: Socket, limits: Limits = LIMITS): void {
  const end = () => void socket.destroy();
  let bytes = 0;
  const silence = setTimeout(end, limits.silenceMs);
  const total = setTimeout(end, limits.totalMs);
  socket.once('close', () => {
    clearTimeout(silence);
    clearTimeout(total);
  });
  // Those of Node's parser: nothing that comes now is a request.
  socket.removeAllListeners('data');
  socket.on('data', (chunk: Buffer) => {
    silence.refresh();
    bytes += chunk.length;
    if (bytes > limits.bytes) end();
  });
  socket.once('end', end);
  socket.end();
  socket.resume();
}

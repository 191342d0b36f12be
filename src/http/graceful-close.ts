import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** For requests that are being answered when the server stops, and for those still arriving. */
const GRACE_MS = 5_000;
/** Node ends the connections that are idle when it closes; those that become idle after it, we do. */
const LOOK_MS = 20;

/**
 * Prepares a server to close without cutting off whoever waits for an answer: a commit whose answer
 * is lost is published a second time by its caller. What hangs for longer than the grace is cut.
 *
 * @returns to be called when the server is about to close
 */
export function gracefulClose(server: Server, graceMs = GRACE_MS): () => void {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  return () => {
    if (!server.listening) return;
    // Opened in advance, as browsers do. Node takes them for busy.
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy();
    const look = setInterval(() => server.closeIdleConnections(), LOOK_MS);
    const cut = setTimeout(() => {
      for (const socket of open) socket.destroy();
    }, graceMs);
    server.once('close', () => {
      clearInterval(look);
      clearTimeout(cut);
    });
  };
}

import type { Server } from 'node:http';
import type { Socket } from 'node:net';

/** For requests that are in flight when the server stops. */
const GRACE_MS = 5_000;
/** Node ends the connections that are idle when it closes; those that become idle later are ours. */
const POLL_MS = 20;

/**
 * Prepares a server to close without losing responses: a caller whose response is lost publishes the
 * same event a second time. Requests that take longer than the grace are cut off.
 *
 * @returns closes the port, and does not wait for the requests
 */
export function gracefulClose(server: Server, graceMs = GRACE_MS): () => void {
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
  });
  return () => {
    if (!server.listening) return;
    // Browsers open connections in advance. Node takes them for busy.
    for (const socket of open) if (socket.bytesRead === 0) socket.destroy();
    const poll = setInterval(() => server.closeIdleConnections(), POLL_MS);
    const cut = setTimeout(() => {
      for (const socket of open) socket.destroy();
    }, graceMs);
    server.once('close', () => {
      clearInterval(poll);
      clearTimeout(cut);
    });
    server.close();
  };
}

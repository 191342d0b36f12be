import type { IncomingMessage, Server as HttpServer } from 'node:http';
import type { Duplex } from 'node:stream';

/** Headers that offer the upgrade; hop-by-hop, and meaningless in a request without it. */
const OFFER = new Set(['upgrade', 'http2-settings', 'connection']);

/** Whether the client offers a WebSocket, perhaps among other protocols. */
export const asksForWebSocket = ({ headers }: IncomingMessage): boolean =>
  (headers.upgrade ?? '')
    .toLowerCase()
    .split(',')
    .some((protocol) => protocol.trim() === 'websocket');

/**
 * Answers a request as if it had not offered another protocol, which a server may ignore (RFC 9110,
 * 7.8): the HTTP clients of Java and `curl --http2` offer HTTP/2 with their first request. A Node
 * server with an `upgrade` listener gets all of them as sockets without a response, so the request
 * is parsed once more, without the offer.
 *
 * @param head what the client has sent after the headers
 */
export function serveWithoutUpgrade(
  server: HttpServer,
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): void {
  socket.unshift(Buffer.concat([Buffer.from(headOf(request), 'latin1'), head]));
  server.emit('connection', socket);
}

/** The bytes of the request up to its body; header values are bytes, which Node reads as Latin-1. */
function headOf({ method, url, httpVersion, rawHeaders, headers }: IncomingMessage): string {
  const lines = rawHeaders.flatMap((name, index) =>
    index % 2 === 0 && !OFFER.has(name.toLowerCase()) ? [`${name}: ${rawHeaders[index + 1]}`] : [],
  );
  const isLast = /\bclose\b/i.test(headers.connection ?? '');
  if (isLast) lines.push('connection: close');
  return [`${method} ${url} HTTP/${httpVersion}`, ...lines, '', ''].join('\r\n');
}

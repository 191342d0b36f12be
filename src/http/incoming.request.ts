import { randomUUID } from 'node:crypto';
import { IncomingMessage } from 'node:http';

/** What a request id of a client or proxy may be: it gets into responses and into the audit log. */
const REQUEST_ID = /^[\w.:/+=-]{1,128}$/;

/**
 * The requests of the server. A client may offer to go on in another protocol (RFC 9110, 7.8). A
 * WebSocket is the only one that is spoken here, and any other offer is ignored: the request is an
 * ordinary one. HTTP clients of Java and `curl --http2` offer HTTP/2 with their first request.
 *
 * Node decides by the property `upgrade` whether a request is passed on as a bare socket, in all
 * versions that are supported; `shouldUpgradeCallback` exists in newer ones only.
 */
export class IncomingRequest extends IncomingMessage {
  /** Called once, when the body is about to be read. */
  beforeRead: (() => void) | undefined;
  private hasOffer = false;
  private id: string | undefined;
  private isOfferOpen = false;

  /** Names the request in its response and in the audit log: `X-Request-Id` of the request, or a new one. */
  get requestId(): string {
    if (this.id !== undefined) return this.id;
    const { 'x-request-id': given } = this.headers;
    const isUsable = typeof given === 'string' && REQUEST_ID.test(given);
    return (this.id = isUsable ? given : randomUUID());
  }

  get upgrade(): boolean {
    return this.isOfferOpen && (this.method === 'CONNECT' || asksForWebSocket(this));
  }

  /** Set by Node: to true by its parser, and to false where the server has no listener for upgrades. */
  set upgrade(offered: boolean | null) {
    this.isOfferOpen = offered === true;
    if (offered) this.hasOffer = true;
  }

  /**
   * Whether another protocol was offered, and is ignored. Node's parser discards what has arrived
   * together with such a request behind it, so the connection must end with the response.
   */
  get ignoresOffer(): boolean {
    return this.hasOffer && !this.upgrade;
  }

  override _read(size: number): void {
    const { beforeRead } = this;
    this.beforeRead = undefined;
    beforeRead?.();
    // oxlint-disable-next-line no-underscore-dangle -- the name is Node's
    super._read(size);
  }
}

/** Whether the client offers a WebSocket, perhaps among other protocols. */
const asksForWebSocket = ({ headers }: IncomingMessage): boolean =>
  (headers.upgrade ?? '')
    .toLowerCase()
    .split(',')
    .some((protocol) => protocol.trim() === 'websocket');

/** Whether the head of a request announces a body, which may not have arrived (RFC 9112, 6.3). */
export const announcesBody = ({ headers }: Pick<IncomingMessage, 'headers'>): boolean =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

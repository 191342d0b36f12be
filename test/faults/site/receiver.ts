import { once } from 'node:events';
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { nonceIn } from '../checker/facts.js';
import type { LedgerRecord } from '../ledger/records.js';

/** A complete request that waits for the receiver's answer. */
export interface Exchange {
  /** The id of its event, or of its batch. */
  messageId: string;
  body: string;
  response: ServerResponse;
  socket: Socket;
  /** Records how the answer counts, right before it is sent. */
  note(status: number): void;
  /** Records and sends an answer with this status. */
  answer(status: number): void;
}

export type Behaviour = (exchange: Exchange) => void;

/** Answers at once. */
const answers =
  (status: number): Behaviour =>
  (exchange) =>
    exchange.answer(status);

/** All endpoints of one run: each has a path and a behaviour, and records all requests. */
export class Receivers {
  private readonly behaviours = new Map<string, Behaviour>();
  private readonly webhookIds = new Map<string, string>();
  private readonly arrivals = new Map<string, (exchange: Exchange) => void>();
  private count = 0;

  private constructor(
    private server: Server,
    private readonly write: (record: LedgerRecord) => void,
  ) {}

  static async open(write: (record: LedgerRecord) => void): Promise<Receivers> {
    const receivers = new Receivers(createServer(), write);
    await receivers.listen(0);
    return receivers;
  }

  url(name: string): string {
    return `http://127.0.0.1:${this.port}/${name}`;
  }

  /** Sets the behaviour of an endpoint from now on. */
  behave(name: string, behaviour: Behaviour): void {
    this.behaviours.set(name, behaviour);
  }

  /** Sets the webhook of an endpoint. */
  belongsTo(name: string, webhookId: string): void {
    this.webhookIds.set(name, webhookId);
  }

  /** The next request with this nonce; the caller has to answer it. */
  arrival(nonce: string): Promise<Exchange> {
    return new Promise((resolve) => this.arrivals.set(nonce, resolve));
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    this.server.close();
    await once(this.server, 'close');
  }

  /** Does not listen for this time: connections are refused. */
  async away(ms: number): Promise<void> {
    const { port } = this;
    await this.close();
    await delay(ms);
    this.server = createServer();
    await this.listen(port);
  }

  private get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  private async listen(port: number): Promise<void> {
    this.server.on('request', this.onRequest);
    this.server.listen(port, '127.0.0.1');
    await once(this.server, 'listening');
  }

  private readonly onRequest: RequestListener = (request, response) => {
    const chunks: Buffer[] = [];
    request.on('error', () => undefined);
    response.on('error', () => undefined);
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => this.onWhole(request, response, Buffer.concat(chunks).toString()));
  };

  private onWhole(request: IncomingMessage, response: ServerResponse, body: string): void {
    const name = (request.url ?? '').slice(1);
    const receipt = `${name}-${process.pid}-${this.port}-${this.count++}`;
    const header = (key: string): string => String(request.headers[key] ?? '');
    this.write({
      kind: 'received',
      at: Date.now(),
      receipt,
      webhookId: this.webhookIds.get(name) ?? name,
      messageId: header('webhook-id'),
      deliveryId: header('tidings-delivery-id'),
      batchSize: header('tidings-batch-size') ? Number(header('tidings-batch-size')) : null,
      timestamp: header('webhook-timestamp'),
      signature: header('webhook-signature'),
      body,
    });
    const note = (status: number): void =>
      this.write({ kind: 'replied', at: Date.now(), receipt, status });
    const exchange: Exchange = {
      messageId: header('webhook-id'),
      body,
      response,
      socket: request.socket,
      note,
      answer: (status) => {
        note(status);
        response.writeHead(status).end('noted');
      },
    };
    this.behaviourFor(name, body)(exchange);
  }

  private behaviourFor(name: string, body: string): Behaviour {
    const nonce = this.arrivals.size > 0 ? nonceIn(body) : undefined;
    const waiting = nonce === undefined ? undefined : this.arrivals.get(nonce);
    if (nonce === undefined || !waiting) return this.behaviours.get(name) ?? answers(200);
    this.arrivals.delete(nonce);
    return waiting;
  }
}

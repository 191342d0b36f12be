import {
  createServer,
  type IncomingHttpHeaders,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo } from 'node:net';
import { Webhook } from 'standardwebhooks';
import { Webhook as SvixWebhook } from 'svix';
import { expect } from 'vitest';
import { eventually } from './eventually.js';

export interface ReceivedRequest {
  path: string;
  headers: IncomingHttpHeaders;
  /** The raw bytes, as text. */
  body: string;
  json: { id: string; type: string; timestamp: string; subject?: string; data: unknown };
  at: number;
}

/** An answer: a status, or any behaviour of an HTTP server. */
export type Reply =
  | number
  | { status: number; headers?: Record<string, string>; body?: string }
  | ((response: ServerResponse, request: ReceivedRequest) => void);

/** A real HTTP server as a customer's endpoint; it records every request. */
export class WebhookReceiver {
  readonly requests: ReceivedRequest[] = [];
  private replies: Reply[] = [];
  private fallback: Reply = 200;

  private constructor(private readonly server: Server) {}

  static async start(): Promise<WebhookReceiver> {
    const server = createServer();
    const receiver = new WebhookReceiver(server);
    server.on('request', (request, response) => {
      const chunks: Buffer[] = [];
      request.on('data', (chunk: Buffer) => chunks.push(chunk));
      request.on('end', () => {
        const body = Buffer.concat(chunks).toString();
        const { url = '', headers } = request;
        const json = JSON.parse(body) as ReceivedRequest['json'];
        const received = { path: url, headers, body, json, at: performance.now() };
        receiver.requests.push(received);
        receiver.answer(response, received);
      });
      request.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  url(path = '/hook'): string {
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}${path}`;
  }

  /** Answers the next requests with these replies, in order, and all later ones with the last. */
  reply(...replies: [Reply, ...Reply[]]): this {
    this.replies = replies.slice(0, -1);
    this.fallback = replies.at(-1)!;
    return this;
  }

  of(path: string): ReceivedRequest[] {
    return this.requests.filter((request) => request.path === path);
  }

  /** Waits until exactly this number of requests has arrived. */
  async expectRequests(count: number, path?: string): Promise<ReceivedRequest[]> {
    return eventually(() => {
      const requests = path === undefined ? this.requests : this.of(path);
      expect(requests.map((r) => r.json.type)).toHaveLength(count);
      return requests;
    });
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }

  private answer(response: ServerResponse, request: ReceivedRequest): void {
    const reply = this.replies.shift() ?? this.fallback;
    if (typeof reply === 'function') return reply(response, request);
    const {
      status,
      headers = {},
      body = 'ok',
    } = typeof reply === 'number' ? { status: reply } : reply;
    response.writeHead(status, headers).end(body);
  }
}

/** Verifies the signature with the two libraries that receivers use. @throws if it is invalid */
export function verify(request: ReceivedRequest, secret: string): void {
  const headers = request.headers as Record<string, string>;
  new Webhook(secret).verify(request.body, headers);
  new SvixWebhook(secret).verify(request.body, headers);
}

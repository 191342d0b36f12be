import type { ServerResponse } from 'node:http';

/** The part of Fastify's reply that the product uses. */
export interface Reply {
  /** The response of `node:http` below it. */
  raw: ServerResponse;
  status(code: number): Reply;
  headers(values: Record<string, string>): Reply;
  send(body: string): unknown;
  /** Leaves the response to the caller. */
  hijack(): void;
}

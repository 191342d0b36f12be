import { createServer } from 'node:net';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import type { Config } from '../config/env.js';

/**
 * Connections that may wait to be accepted: all clients of a node that restarts reconnect at once.
 * Where the queue is full, clients try again after a second or more. The kernel may allow less
 * (`net.core.somaxconn`).
 */
const LISTEN_BACKLOG = 4_096;

const ANY_IPV4 = '0.0.0.0';
/** On a dual-stack socket, which takes IPv4 connections, too. */
const ANY_ADDRESS = '::';

/** Listens on the configured address, by default on all of both families. */
export async function listen(
  app: NestFastifyApplication,
  { port, host }: Pick<Config, 'port' | 'host'>,
): Promise<void> {
  const address = host ?? ((await hasIPv6()) ? ANY_ADDRESS : ANY_IPV4);
  await app.listen({ port, host: address, backlog: LISTEN_BACKLOG });
}

/** A kernel without IPv6 refuses its addresses. */
function hasIPv6(): Promise<boolean> {
  const probe = createServer();
  return new Promise((resolve) => {
    probe.once('error', () => resolve(false));
    probe.listen(0, ANY_ADDRESS, () => probe.close(() => resolve(true)));
  });
}

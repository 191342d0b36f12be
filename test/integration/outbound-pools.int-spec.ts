import { once } from 'node:events';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { compileAddressPolicy } from '../../src/outbound/address-policy.js';
import type { AttemptResult, Unsent } from '../../src/outbound/attempt-result.js';
import { GuardedConnector } from '../../src/outbound/guarded-connector.client.js';
import { type OriginPool, OriginPools } from '../../src/outbound/http1/origin-pools.client.js';
import { PendingRequest } from '../../src/outbound/http1/pending-request.client.js';

const MINUTE_MS = 60_000;
const ELSEWHERE = 'https://hook.example';

let server: Server;
let origin: string;
/** Requests that wait for a response. */
let waiting: ServerResponse[];
let connections: number;
let pools: OriginPools;

beforeEach(async () => {
  waiting = [];
  connections = 0;
  server = createServer((_, response) => waiting.push(response));
  server.on('connection', () => connections++);
  await once(server.listen(0, '127.0.0.1'), 'listening');
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const policy = compileAddressPolicy(['127.0.0.0/8']);
  const resolve = () => expect.unreachable();
  pools = new OriginPools(new GuardedConnector({ policy, trustedOrigins: new Set(), resolve }));
});

afterEach(() => {
  pools.destroy();
  server.close();
  server.closeAllConnections();
});

/** Sends a request, and waits until the server has it. */
async function send(pool: OriginPool, nowMs: number): Promise<Promise<AttemptResult | Unsent>[]> {
  const expected = waiting.length + 1;
  const head = `POST / HTTP/1.1\r\nhost: ${pool.host}\r\ncontent-length: 0\r\n\r\n`;
  const result = new Promise<AttemptResult | Unsent>((resolve) => {
    const owner = { onSettled: () => undefined };
    const context = { timeoutMs: MINUTE_MS, startedMs: nowMs, pool, owner, ownerKey: '', resolve };
    pool.send(new PendingRequest(head, Buffer.alloc(0), context), nowMs);
  });
  await vi.waitUntil(() => waiting.length === expected);
  return [result];
}

async function answered(pool: OriginPool, nowMs: number, headers = {}): Promise<void> {
  const [result] = await send(pool, nowMs);
  waiting.pop()!.writeHead(200, headers).end('ok');
  expect(await result).toMatchObject({ statusCode: 200, body: 'ok' });
}

describe(OriginPools.name, () => {
  it('has one pool per origin', () => {
    expect(pools.get(ELSEWHERE, 0)).toBe(pools.get(ELSEWHERE, MINUTE_MS));
    expect(pools.get(ELSEWHERE, 0)).not.toBe(pools.get(`${ELSEWHERE}:8443`, 0));
  });

  it('replaces a pool that is old, lets its requests finish, and then closes it', async () => {
    const old = pools.get(origin, 0);
    const [result] = await send(old, 0);
    expect(pools.get(origin, 5 * MINUTE_MS)).not.toBe(old);
    waiting.pop()!.end();
    expect(await result).toMatchObject({ statusCode: 200 });
    await vi.waitUntil(() => old.size === 0);
  });

  it('drops a pool that is not used, and no other', () => {
    const origins = ['1', '2', '3'].map((port) => `${ELSEWHERE}:${port}`);
    const before = origins.map((each) => pools.get(each, 0));
    before[1]!.inFlight = 1;
    before[2]!.lastUsedMs = MINUTE_MS;
    pools.sweep(MINUTE_MS + 1);
    const isKept = origins.map((each, n) => pools.get(each, MINUTE_MS) === before[n]);
    expect(isKept).toEqual([false, true, true]);
  });

  it('drops the least recently used pool for a new origin', () => {
    const origins = Array.from({ length: 2_000 }, (_, n) => `${ELSEWHERE}:${n + 1}`);
    const before = origins.map((each, n) => pools.get(each, n));
    before[0]!.inFlight = 1;
    pools.get(ELSEWHERE, 3_000);
    const isKept = [0, 2, 1_999].map((n) => pools.get(origins[n]!, 3_000) === before[n]);
    expect(isKept).toEqual([true, true, true]);
    expect(pools.get(origins[1]!, 3_000)).not.toBe(before[1]);
  });
});

describe('a connection', () => {
  it('is used again, for as long as the server may keep it', async () => {
    const pool = pools.get(origin, 0);
    await answered(pool, performance.now());
    await answered(pool, performance.now());
    expect(connections).toBe(1);
    await answered(pool, performance.now() + MINUTE_MS);
    expect(connections).toBe(2);
  });

  it('is closed a second before the timeout that its server announces', async () => {
    const pool = pools.get(origin, 0);
    await answered(pool, performance.now(), { 'keep-alive': 'timeout=3' });
    pools.sweep(performance.now() + 500);
    expect(pool.size).toBe(1);
    pools.sweep(performance.now() + 2_000);
    await vi.waitUntil(() => pool.size === 0);
    await answered(pool, performance.now(), { 'keep-alive': 'timeout=1' });
    await vi.waitUntil(() => pool.size === 0);
  });

  it('is closed after a response with connection: close', async () => {
    const pool = pools.get(origin, 0);
    await answered(pool, performance.now(), { connection: 'close' });
    await vi.waitUntil(() => pool.size === 0);
  });

  it('is not used after it was destroyed, even before its close event', async () => {
    const pool = pools.get(origin, 0);
    await answered(pool, performance.now());
    pool.closeExpired(Infinity);
    await answered(pool, performance.now());
    expect(connections).toBe(2);
  });

  it('is removed when the server closes it', async () => {
    const pool = pools.get(origin, 0);
    await answered(pool, performance.now());
    server.closeAllConnections();
    await vi.waitUntil(() => pool.size === 0);
    await answered(pool, performance.now());
    expect(connections).toBe(2);
  });
});

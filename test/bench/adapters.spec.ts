import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadAdapter } from '../../bench/adapter.mjs';
import { findStamp, stampedData } from '../../bench/stamp.mjs';

const ADAPTERS = readdirSync('bench/adapters').map((name) => `bench/adapters/${name}`);

interface Call {
  method: string;
  url: string;
  body: string;
}

describe.each(ADAPTERS)('%s', (path) => {
  const calls: Call[] = [];
  const server = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const body = Buffer.concat(parts).toString();
      calls.push({ method: request.method ?? '', url: request.url ?? '', body });
      // The fields that the adapters read from their servers' answers.
      response.end(JSON.stringify({ id: 'id-1', filterTypes: ['a'], data: { uid: 'id-1' } }));
    });
  });
  let baseUrl: string;

  beforeEach(async () => {
    calls.splice(0);
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });

  afterEach(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it('creates an endpoint for the URL and the types that it is given', async () => {
    const { adapter } = await loadAdapter(path);
    const access = { baseUrl, env: {}, state: undefined };
    await adapter.setUp?.(access, ['bench.a', 'bench.b']);
    const url = 'http://127.0.0.1:1/hook';
    const events = ['bench.a', 'bench.b'];
    const endpoint = { url, events, number: 7, secret: 'whsec_x', settings: {} };
    await adapter.createEndpoint(access, endpoint);
    await adapter.tearDown?.(access);
    const bodies = calls.map(({ body }) => body).join('\n');
    expect(bodies).toContain(JSON.stringify(url));
    expect(bodies).toContain(JSON.stringify(events));
  });

  it('publishes one JSON document that contains the type, and the data with its stamp', async () => {
    const { adapter } = await loadAdapter(path);
    const event = { type: 'bench.steady.fan10.00', data: stampedData(200) };
    const publication = adapter.publish({ baseUrl, env: {}, state: undefined }, event);
    expect(publication.path).toMatch(/^\//);
    const members = Object.values(JSON.parse(publication.body) as object) as unknown[];
    expect(members).toContain(event.type);
    expect(members).toContainEqual(event.data);
    expect(findStamp(Buffer.from(publication.body))).toBeGreaterThan(0);
  });
});

describe(loadAdapter.name, () => {
  it('refuses a file that is not an adapter', async () => {
    await expect(loadAdapter('bench/clock.mjs')).rejects.toThrow(/exports no string `name`/);
  });
});

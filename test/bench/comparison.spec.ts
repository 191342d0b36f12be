import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

/** A run of a few windows; long, because other tests may run on the same machine. */
const RUN_MS = 180_000;

interface Result {
  scenarios: { name: string; deliveriesPerS: number; shareOfRaw: number | null }[];
  totals: { refused: number; deliveries: number; missing: number; misdirected: number };
}

/** The simplest server: it forwards published events and stores nothing. */
class NaiveServer {
  private readonly endpoints: { url: string; events: string[] }[] = [];
  private readonly agent = new Agent({ connections: 4 });
  private readonly server: Server;

  /** @param matches which events an endpoint gets */
  constructor(private readonly matches: (type: string, events: string[]) => boolean) {
    this.server = createServer((message, response) => {
      void this.answer(message, response);
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    return `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
    await this.agent.destroy();
  }

  get isEmpty(): boolean {
    return this.endpoints.length === 0;
  }

  private async answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of message) parts.push(part as Buffer);
    const body: unknown =
      message.method === 'DELETE' ? {} : JSON.parse(String(Buffer.concat(parts)));
    if (message.method === 'DELETE') this.endpoints.splice(0);
    else if (message.url === '/endpoints') this.endpoints.push(body as never);
    else this.forward(body as { type: string; data: object });
    // Chunked, like the answers of many servers.
    response.writeHead(202).write('{"ok":');
    response.end('true}');
  }

  private forward({ type, data }: { type: string; data: object }): void {
    const payload = Buffer.from(JSON.stringify(data)).toString('base64');
    const body = JSON.stringify({ type, payload });
    for (const { url, events } of this.endpoints) {
      if (!this.matches(type, events)) continue;
      request(url, { method: 'POST', body, dispatcher: this.agent }).then(
        (answer) => answer.body.dump(),
        () => undefined,
      );
    }
  }
}

describe("the benchmark's comparison", () => {
  let directory: string;
  let peer: NaiveServer;

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'tidings-bench-'));
  });

  afterEach(async () => {
    await peer.stop();
    await rm(directory, { recursive: true });
  });

  async function compare(matches: (type: string, events: string[]) => boolean, only: string) {
    peer = new NaiveServer(matches);
    const json = join(directory, 'result.json');
    const server = ['--adapter', 'bench/adapters/example.mjs', '--base-url', await peer.start()];
    const args = ['bench/run.mjs', '--quick', '--no-product', ...server, '--only', only];
    const code = await new Promise<number>((resolve) => {
      execFile(process.execPath, [...args, '--json', json], (error) =>
        resolve(error ? Number(error.code ?? 1) : 0),
      );
    });
    return { code, ...(JSON.parse(await readFile(json, 'utf8')) as Result) };
  }

  it(
    'measures any server on the same sink as the raw client',
    async () => {
      const matching = (type: string, events: string[]) => events.includes(type);
      const { code, scenarios, totals } = await compare(matching, 'raw,fanout10');
      expect(totals).toMatchObject({ refused: 0, missing: 0, misdirected: 0 });
      expect(totals.deliveries).toBeGreaterThan(0);
      const names = scenarios.map(({ name }) => name);
      expect(names).toEqual(['raw client alone', 'example, fan-out 10']);
      expect(scenarios[1]?.deliveriesPerS).toBeGreaterThan(0);
      expect(scenarios[1]?.shareOfRaw).toBeGreaterThan(0);
      expect(code).toBe(0);
      expect(peer.isEmpty).toBe(true);
    },
    RUN_MS,
  );

  it(
    'fails for a server that sends an event to an endpoint without a subscription to it',
    async () => {
      const { code, totals } = await compare(() => true, 'fanout10');
      expect(totals.misdirected).toBeGreaterThan(0);
      expect(code).toBe(1);
    },
    RUN_MS,
  );
});

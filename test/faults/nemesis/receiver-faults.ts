import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { Behaviour, Exchange } from '../site/receiver.js';
import { TIMEOUT_MS } from '../site/site.js';
import { type Endpoint, type Fault, PROMPT, type Scene } from './fault.js';

/** Longer than any deadline of the product here: what still drips then would drip for ever. */
const ENDLESS_MS = 6 * TIMEOUT_MS;
const DEAD_MS = 5_000;
const MANY = Array.from({ length: 8 }, (_, n) => `many-${n}`);

const HEAD = 'HTTP/1.1 200 OK\r\n';
const BOMB = gzipSync(Buffer.alloc(64 << 20));
const CHUNK = Buffer.from(`10000\r\n${'x'.repeat(0x10000)}\r\n`);

/** Writes the same again until the other side has had enough, or it took too long. */
async function drip({ socket }: Exchange, text: string | Buffer, everyMs: number): Promise<void> {
  const until = performance.now() + ENDLESS_MS;
  while (!socket.destroyed && performance.now() < until) {
    if (!socket.write(text)) await delay(5);
    await delay(everyMs);
  }
  socket.destroy();
}

/** A status line and headers have arrived: what becomes of the body changes nothing. */
const succeeds =
  (act: (exchange: Exchange) => unknown): Behaviour =>
  (exchange) => {
    exchange.note(200);
    act(exchange);
  };

const fails =
  (act: (exchange: Exchange) => unknown): Behaviour =>
  (exchange) => {
    exchange.note(0);
    act(exchange);
  };

/** Every way to be unpleasant, by name. */
const WAYS: Record<string, Behaviour> = {
  'drips its body': succeeds((exchange) => {
    exchange.socket.write(`${HEAD}content-length: 1000\r\n\r\n`);
    return drip(exchange, 'x', 200);
  }),
  'sends 103 for ever': fails((exchange) =>
    drip(exchange, 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n', 100),
  ),
  'drips its headers': fails((exchange) => {
    exchange.socket.write(HEAD);
    return drip(exchange, 'x-drip: 1\r\n', 100);
  }),
  'sends a header of 64 KiB': fails(({ socket }) =>
    socket.end(`${HEAD}x-large: ${'x'.repeat(64 << 10)}\r\ncontent-length: 0\r\n\r\n`),
  ),
  'switches protocols': fails(({ socket }) =>
    socket.write('HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n'),
  ),
  'resets in the middle of its body': succeeds(async ({ socket }) => {
    socket.write(`${HEAD}content-length: 1000\r\n\r\nhalf`);
    await delay(50);
    socket.resetAndDestroy();
  }),
  'sends a gzip bomb': succeeds(({ socket }) => {
    socket.write(`${HEAD}content-encoding: gzip\r\ncontent-length: ${BOMB.length}\r\n\r\n`);
    socket.end(BOMB);
  }),
  'sends a body without end': succeeds((exchange) => {
    exchange.socket.write(`${HEAD}transfer-encoding: chunked\r\n\r\n`);
    return drip(exchange, CHUNK, 1);
  }),
  'never answers': fails(() => undefined),
  'answers as an SSH server': fails(({ socket }) => socket.end('SSH-2.0-OpenSSH_9.6\r\n')),
  'closes at once': fails(({ socket }) => socket.destroy()),
  // Either may be believed, but not both: a success or a failure, and nothing stuck.
  'sends two lengths': (exchange) => {
    exchange.note(-1);
    exchange.socket.end(
      `${HEAD}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n`,
    );
  },
  'redirects to itself': (exchange) => {
    exchange.note(302);
    exchange.response.writeHead(302, { location: '/elsewhere' }).end();
  },
  'asks for a retry in a century': (exchange) => {
    exchange.note(400);
    exchange.response.writeHead(400, { 'retry-after': '3153600000' }).end();
  },
};

const HOSTILE = Object.values(WAYS);

export const receiverFaults: Fault[] = [
  {
    name: 'hostile receivers, all kinds at once',
    target: 'receivers',
    budget: PROMPT,
    isShort: true,
    endpoints: hostileEndpoints,
    inflict: allKinds,
  },
  {
    name: 'half of the endpoints dead: 500, silence, closed at once',
    target: 'receivers',
    budget: PROMPT,
    endpoints: (prefix) =>
      Object.fromEntries(MANY.map((name) => [name, { events: [`${prefix}.one`] }])),
    async inflict(scene) {
      const dead: Behaviour[] = [
        (exchange) => exchange.answer(500),
        fails(() => undefined),
        fails(({ socket }) => socket.destroy()),
      ];
      const half = MANY.slice(0, MANY.length / 2);
      for (const name of half) scene.receivers.behave(name, scene.random.pick(dead));
      await delay(DEAD_MS);
      for (const name of half) scene.receivers.behave(name, (exchange) => exchange.answer(200));
    },
  },
  {
    name: 'all endpoints refuse connections',
    target: 'receivers',
    budget: PROMPT,
    inflict: ({ receivers }) => receivers.away(DEAD_MS / 2),
  },
];

/** Each kind gets a few events of its own, and ends them: with success, or as dead letters. */
function hostileEndpoints(prefix: string): Record<string, Partial<Endpoint>> {
  const endpoint: Partial<Endpoint> = {
    events: [`${prefix}.hostile`],
    settings: { retryPolicy: { schedule: [200] } },
    isHealthy: false,
  };
  return Object.fromEntries(HOSTILE.map((_, index) => [`hostile-${index}`, endpoint]));
}

async function allKinds({ receivers, publisher }: Scene): Promise<void> {
  for (const [index, behaviour] of HOSTILE.entries()) {
    receivers.behave(`hostile-${index}`, behaviour);
  }
  for (let n = 0; n < 3; n++) await publisher.publish('hostile');
  await delay(2 * TIMEOUT_MS);
}

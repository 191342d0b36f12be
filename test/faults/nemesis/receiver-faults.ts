import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import type { Behaviour, Exchange } from '../site/receiver.js';
import { TIMEOUT_MS } from '../site/site.js';
import { type Endpoint, type Fault, PROMPT } from './fault.js';

/** Longer than any timeout of the product in these tests. */
const ENDLESS_MS = 6 * TIMEOUT_MS;
const DEAD_MS = 5_000;
const MANY = Array.from({ length: 8 }, (_, n) => `many-${n}`);

const HEAD = 'HTTP/1.1 200 OK\r\n';
const BOMB = gzipSync(Buffer.alloc(64 << 20));
/** Compressed twice, so that even the compressed body is small. */
const DOUBLE_BOMB = gzipSync(BOMB);
const CHUNK = Buffer.from(`10000\r\n${'x'.repeat(0x10000)}\r\n`);

/** Writes the same bytes again and again until the connection ends, or the time is over. */
async function drip({ socket }: Exchange, text: string | Buffer, everyMs: number): Promise<void> {
  const until = performance.now() + ENDLESS_MS;
  while (!socket.destroyed && performance.now() < until) {
    if (!socket.write(text)) await delay(5);
    await delay(everyMs);
  }
  socket.destroy();
}

/** Status line and headers have arrived, so the result does not depend on the body. */
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

/** Every kind of hostile receiver, by name. */
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
  'drips the bytes of a header': fails((exchange) => {
    exchange.socket.write(`${HEAD}x-drip: `);
    return drip(exchange, 'x', 100);
  }),
  'sends 1,200 headers': succeeds(({ socket }) =>
    socket.end(`${HEAD}${'x-many: 1\r\n'.repeat(1_200)}content-length: 0\r\n\r\n`),
  ),
  'says 100 unasked, and then 200': (exchange) => {
    exchange.note(-1);
    exchange.socket.write('HTTP/1.1 100 Continue\r\n\r\n');
    exchange.socket.end(`${HEAD}content-length: 0\r\n\r\n`);
  },
  'sends a body with 204': succeeds(({ socket }) =>
    socket.end('HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\nbody'),
  ),
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
  'closes in the middle of its body': succeeds(({ socket }) =>
    socket.end(`${HEAD}content-length: 1000\r\n\r\nhalf`),
  ),
  'sends a gzip bomb in a gzip bomb': succeeds(({ socket }) => {
    const codings = `content-encoding: gzip, gzip\r\ncontent-length: ${DOUBLE_BOMB.length}`;
    socket.write(`${HEAD}${codings}\r\n\r\n`);
    socket.end(DOUBLE_BOMB);
  }),
  'sends a body without end': succeeds((exchange) => {
    exchange.socket.write(`${HEAD}transfer-encoding: chunked\r\n\r\n`);
    return drip(exchange, CHUNK, 1);
  }),
  'never answers': fails(() => undefined),
  'answers as an SSH server': fails(({ socket }) => socket.end('SSH-2.0-OpenSSH_9.6\r\n')),
  'closes at once': fails(({ socket }) => socket.destroy()),
  // The product may take it as a success or as a failure, but the delivery must end.
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

/** Enough events to open a circuit with their attempts. */
const EVENTS_EACH = 3;

/** Each kind of hostile receiver alone. */
export const hostileReceivers: Fault[] = Object.entries(WAYS).map(([way, behaviour]) => ({
  name: `a receiver that ${way}`,
  target: 'receivers',
  budget: PROMPT,
  ...hostile({ [way]: behaviour }),
}));

export const receiverFaults: Fault[] = [
  {
    name: 'hostile receivers, all kinds at once',
    target: 'receivers',
    budget: PROMPT,
    isShort: true,
    ...hostile(WAYS),
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

const nameOf = (way: string): string => `hostile-${way.replace(/\W+/g, '-')}`;

/** A receiver of each kind. */
function hostile(ways: Record<string, Behaviour>): Pick<Fault, 'endpoints' | 'inflict'> {
  const behaviours = Object.entries(ways);
  return {
    endpoints: (prefix) =>
      Object.fromEntries(behaviours.map(([way]) => [nameOf(way), hostileEndpoint(prefix)])),
    async inflict({ receivers, publisher }) {
      for (const [way, behaviour] of behaviours) receivers.behave(nameOf(way), behaviour);
      for (let n = 0; n < EVENTS_EACH; n++) await publisher.publish('hostile');
      await delay(2 * TIMEOUT_MS);
    },
  };
}

/** Each gets a few events of its own, which end with success or as dead letters. */
const hostileEndpoint = (prefix: string): Partial<Endpoint> => ({
  events: [`${prefix}.hostile`],
  settings: { retryPolicy: { schedule: [200] } },
  isHealthy: false,
});

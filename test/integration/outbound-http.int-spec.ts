import { createServer, type Server, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { createServer as createTlsServer } from 'node:tls';
import { gzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type AttemptResult, MAX_RESPONSE_BYTES } from '../../src/outbound/attempt-result.js';
import { OutboundHttpClient } from '../../src/outbound/outbound-http.client.js';
import { TEST_CERT, TEST_KEY } from '../support/certificate.js';
import { ALL_TEST_TIMINGS } from '../support/timings.js';

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
const OPEN_ENDED = 'HTTP/1.1 200 OK\r\n\r\n';
const ONE_SHORT = 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok';

/** Long enough that a test which waits for it has failed. */
const AMPLE_MS = 20_000;
const SHORT_MS = 200;

type Behaviour = (socket: Socket, request: string) => void;

/** A TCP server that handles every request as the test says, and records what it received. */
class Receiver {
  readonly connections: Socket[] = [];
  readonly requests: string[] = [];
  readonly unread: string[] = [];
  private readonly timers: NodeJS.Timeout[] = [];

  private constructor(
    private readonly server: Server,
    readonly scheme: string,
  ) {}

  static listen(behaviour: Behaviour): Promise<Receiver> {
    return Receiver.start(createServer(), 'http', 'connection', behaviour);
  }

  static listenTls(behaviour: Behaviour): Promise<Receiver> {
    const server = createTlsServer({ key: TEST_KEY, cert: TEST_CERT });
    return Receiver.start(server, 'https', 'secureConnection', behaviour);
  }

  get origin(): string {
    return `${this.scheme}://127.0.0.1:${this.port}`;
  }

  get port(): number {
    const address = this.server.address();
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  /** Connections that the other side has not closed. */
  get open(): number {
    return this.connections.filter((socket) => !socket.closed).length;
  }

  /** Writes repeatedly until the connection is closed: a drip, or with 0 ms a flood. */
  repeat(socket: Socket, everyMs: number, data: string | Buffer): void {
    const timer = setInterval(() => {
      if (socket.writable) socket.write(data);
    }, everyMs);
    this.timers.push(timer);
    socket.once('close', () => clearInterval(timer));
  }

  async close(): Promise<void> {
    this.timers.forEach(clearInterval);
    this.connections.forEach((socket) => socket.destroy());
    await new Promise((resolve) => this.server.close(resolve));
  }

  private static async start(
    server: Server,
    scheme: string,
    event: string,
    behaviour: Behaviour,
  ): Promise<Receiver> {
    const receiver = new Receiver(server, scheme);
    server.on('tlsClientError', () => undefined);
    server.on(event, (socket: Socket) => receiver.serve(socket, behaviour));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return receiver;
  }

  private serve(socket: Socket, behaviour: Behaviour): void {
    const index = this.connections.push(socket) - 1;
    this.unread[index] = '';
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      this.unread[index] += chunk.toString('latin1');
      for (
        let end = endOfRequest(this.unread[index] ?? '');
        end > 0;
        end = endOfRequest(this.unread[index])
      ) {
        const request = this.unread[index]!.slice(0, end);
        this.unread[index] = this.unread[index]!.slice(end);
        this.requests.push(request);
        behaviour(socket, request);
      }
    });
  }
}

/** Where the first complete request of a text ends, by its content-length; 0 when there is none. */
function endOfRequest(text: string): number {
  const head = text.indexOf('\r\n\r\n');
  if (head < 0) return 0;
  const length = Number(/^content-length: (\d+)/im.exec(text.slice(0, head))?.[1] ?? 0);
  return text.length >= head + 4 + length ? head + 4 + length : 0;
}

let client: OutboundHttpClient;
let receivers: Receiver[];

const anyClient = (allowCidrs: string[]) =>
  new OutboundHttpClient({ allowHttp: true, allowCidrs }, ALL_TEST_TIMINGS);

async function registered(starting: Promise<Receiver>): Promise<Receiver> {
  const started = await starting;
  receivers.push(started);
  return started;
}

const receiver = (behaviour: Behaviour) => registered(Receiver.listen(behaviour));
const tlsReceiver = (behaviour: Behaviour) => registered(Receiver.listenTls(behaviour));

/** A receiver that responds to every request with this text, and keeps the connection open. */
const answering = (text: string | Buffer) => receiver((socket) => socket.write(text));

function post(origin: string, timeoutMs = AMPLE_MS, body = '{}', from = client) {
  const headers = ['content-type', 'application/json', 'webhook-id', 'evt_1'];
  const url = { origin, path: '/hook?x=1' };
  return from.post({ ownerKey: '', url, headers, body, timeoutMs });
}

const failed = (error: string) =>
  expect.objectContaining({
    kind: 'failed',
    error,
    message: expect.stringMatching(/^[A-Z].*\.$/) as string,
    durationMs: expect.any(Number) as number,
  }) as AttemptResult;
const responded = (statusCode: number, body: string | null = 'ok') =>
  expect.objectContaining({ kind: 'responded', statusCode, body }) as AttemptResult;

beforeEach(() => {
  receivers = [];
  client = anyClient(['127.0.0.0/8']);
});

afterEach(async () => {
  await client.close(0);
  await Promise.all(receivers.map((started) => started.close()));
});

describe('the outbound client sends a request', () => {
  it('with the bytes, headers and path that it was given', async () => {
    const target = await answering(OK);
    expect(await post(target.origin, AMPLE_MS, '{"data":"zażółć"}')).toEqual({
      kind: 'responded',
      statusCode: 200,
      body: 'ok',
      retryAfter: null,
      durationMs: expect.any(Number) as number,
    });
    const [head, body] = target.requests[0]!.split('\r\n\r\n');
    expect(head!.split('\r\n')).toEqual([
      'POST /hook?x=1 HTTP/1.1',
      `host: 127.0.0.1:${target.port}`,
      'connection: keep-alive',
      'content-type: application/json',
      'webhook-id: evt_1',
      'accept-encoding: identity',
      'content-length: 21',
    ]);
    expect(Buffer.from(body!, 'latin1').toString()).toBe('{"data":"zażółć"}');
  });

  it('over the connection of the one before', async () => {
    const target = await answering(OK);
    for (let n = 0; n < 5; n++) {
      expect(await post(target.origin)).toEqual(responded(200));
      await turn();
    }
    expect(target.requests).toHaveLength(5);
    expect(target.connections).toHaveLength(1);
  });

  it('and reports status and Retry-After of a refusal', async () => {
    const target = await answering(
      'HTTP/1.1 429 No\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n',
    );
    expect(await post(target.origin)).toMatchObject({
      statusCode: 429,
      retryAfter: '7',
      body: null,
    });
  });

  it.each([301, 302, 303, 307, 308])('and does not follow a %i', async (status) => {
    const other = await answering(OK);
    const target = await answering(
      `HTTP/1.1 ${status} Moved\r\nlocation: ${other.origin}/\r\ncontent-length: 0\r\n\r\n`,
    );
    expect(await post(target.origin)).toEqual(responded(status, null));
    expect(other.connections).toHaveLength(0);
  });

  it('to a path that looks like a host, without changing hosts', async () => {
    const target = await answering(OK);
    const url = { origin: target.origin, path: '//example.com/x' };
    await client.post({ ownerKey: '', url, headers: [], body: '', timeoutMs: AMPLE_MS });
    expect(target.requests[0]).toMatch(
      /^POST \/\/example\.com\/x HTTP\/1\.1\r\nhost: 127\.0\.0\.1:/,
    );
  });

  it('to the names of this machine', async () => {
    const target = await answering(OK);
    expect(await post(`http://localhost:${target.port}`)).toEqual(responded(200));
    expect(await post(`http://app.localhost:${target.port}`)).toEqual(responded(200));
  });

  it('or fails without sending when a header cannot be written', async () => {
    const target = await answering(OK);
    const url = { origin: target.origin, path: '/' };
    const headers = ['x', 'a\r\nb: c'];
    const request = { ownerKey: '', url, headers, body: '', timeoutMs: AMPLE_MS };
    expect(await client.post(request)).toEqual(failed('http'));
    expect(target.connections).toHaveLength(0);
  });
});

describe('the outbound client guards addresses and', () => {
  beforeEach(async () => {
    await client.close(0);
    client = anyClient([]);
  });

  it.each(['127.0.0.1', '[::ffff:127.0.0.1]', '[::ffff:7f00:1]', '0.0.0.0'])(
    'never connects to %s',
    async (host) => {
      const target = await answering(OK);
      const open = anyClient(['0.0.0.0/0', '::/0']);
      expect(await post(`http://${host}:${target.port}`)).toEqual(failed('blocked'));
      expect(target.connections).toHaveLength(0);
      expect(await post(`http://${host}:${target.port}`, AMPLE_MS, '{}', open)).toEqual(
        responded(200),
      );
      await open.close(0);
    },
  );

  it.each(['localhost', 'app.localhost'])(
    'refuses %s, which resolves to loopback',
    async (name) => {
      const target = await answering(OK);
      expect(await post(`http://${name}:${target.port}`)).toEqual(failed('blocked'));
      expect(target.connections).toHaveLength(0);
    },
  );

  it.each(['http://169.254.169.254', 'https://[fd00:ec2::254]', 'http://168.63.129.16'])(
    'refuses %s even when everything is allowed',
    async (origin) => {
      const open = anyClient(['0.0.0.0/0', '::/0']);
      expect(await post(origin, AMPLE_MS, '{}', open)).toEqual(failed('blocked'));
      await open.close(0);
    },
  );

  it('reaches a trusted origin, and nothing else on this machine', async () => {
    const [trusted, other] = [await answering(OK), await answering(OK)];
    client.trustOrigin(trusted.origin, /^\/bin\/\d$/);
    expect(await post(trusted.origin)).toEqual(responded(200));
    expect(await post(other.origin)).toEqual(failed('blocked'));
    expect(await post(`http://localhost:${trusted.port}`)).toEqual(failed('blocked'));
    expect(client.parseUrl(`${trusted.origin}/bin/1`).ok).toBe(true);
    for (const path of [
      '/',
      '/bin/',
      '/bin/1/2',
      '/bin/1?a',
      '/api/bin/1',
      '/bin/%31',
      '/bin/1/../../x',
    ]) {
      expect(client.parseUrl(trusted.origin + path).ok, path).toBe(false);
    }
    expect(client.parseUrl(`${other.origin}/bin/1`).ok).toBe(false);
  });

  it.each(['http://example.com', 'http://10.0.0.1', 'http://localhost:3000/', 'localhost:3000'])(
    'refuses to trust %s',
    (origin) => {
      expect(() => client.trustOrigin(origin, /^/)).toThrow(TypeError);
    },
  );
});

describe('the outbound client names the failure:', () => {
  it('a name that does not exist', async () => {
    expect(await post('http://does-not-exist.invalid')).toEqual(failed('dns'));
  });

  it('a refused connection', async () => {
    const target = await answering(OK);
    const { origin } = target;
    await target.close();
    expect(await post(origin)).toEqual(failed('connect'));
  });

  it.each(['127.0.0.1', 'localhost'])('an untrusted certificate, for %s', async (host) => {
    const target = await tlsReceiver((socket) => socket.write(OK));
    expect(await post(`https://${host}:${target.port}`)).toEqual(failed('tls'));
    expect(target.requests).toEqual([]);
  });

  it('a server that does not speak TLS', async () => {
    const server = createServer((socket) => socket.on('error', () => undefined).end('hello\r\n'));
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address() as { port: number };
    expect(await post(`https://127.0.0.1:${address.port}`)).toEqual(failed('tls'));
    server.close();
  });

  it.each<[string, Behaviour, string]>([
    ['closed at once', (socket) => socket.destroy(), 'http'],
    ['ended without a response', (socket) => socket.end(), 'http'],
    ['reset without a response', (socket) => socket.resetAndDestroy(), 'http'],
    ['a status line only', (socket) => socket.end('HTTP/1.1 200 OK\r\n'), 'bad_response'],
    ['another protocol', (socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n'), 'bad_response'],
    [
      'a 101 that was not requested',
      (socket) =>
        socket.write('HTTP/1.1 101 X\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n'),
      'bad_response',
    ],
    [
      'both framings',
      (socket) =>
        socket.write(
          'HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
        ),
      'bad_response',
    ],
    [
      '64 KB of header',
      (socket) => socket.write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(65_536)}\r\n\r\n`),
      'bad_response',
    ],
  ])('%s', async (_name, behaviour, error) => {
    const target = await receiver(behaviour);
    expect(await post(target.origin)).toEqual(failed(error));
    expect(target.requests).toHaveLength(1);
  });

  it('and works again with the next connection', async () => {
    const target = await receiver((socket) => {
      if (target.requests.length === 1) socket.resetAndDestroy();
      else socket.write(OK);
    });
    expect(await post(target.origin)).toEqual(failed('http'));
    expect(await post(target.origin)).toEqual(responded(200));
  });
});

describe('the outbound client keeps its deadline against', () => {
  it.each<[string, (target: Receiver, socket: Socket) => void]>([
    ['silence', () => undefined],
    [
      'a dripping status line',
      (target, socket) => {
        socket.write('HTTP/1.1 200 O');
        target.repeat(socket, 20, 'K');
      },
    ],
    [
      'dripping header lines',
      (target, socket) => {
        socket.write('HTTP/1.1 200 OK\r\n');
        target.repeat(socket, 20, 'x: y\r\n');
      },
    ],
    [
      'early hints now and then',
      (target, socket) => target.repeat(socket, 50, 'HTTP/1.1 103 Early Hints\r\n\r\n'),
    ],
  ])('%s', async (_name, drip) => {
    const target = await receiver((socket) => drip(target, socket));
    expect(await post(target.origin, SHORT_MS)).toEqual(failed('timeout'));
    await vi.waitUntil(() => target.open === 0);
    await turn();
    expect(target.connections).toHaveLength(1);
  });

  it('a flood of early hints, which ends the attempt at once', async () => {
    const storm = 'HTTP/1.1 103 Early Hints\r\n\r\n'.repeat(500);
    const target = await answering(storm + OK);
    expect(await post(target.origin)).toEqual(failed('bad_response'));
  });

  it('a TLS handshake that never completes', async () => {
    const target = await receiver(() => undefined);
    expect(await post(`https://127.0.0.1:${target.port}`, SHORT_MS)).toEqual(failed('timeout'));
  });

  it.each([200, 500])('a dripping body, and still reports the status %i', async (status) => {
    const target = await receiver((socket) => {
      socket.write(`HTTP/1.1 ${status} X\r\ncontent-length: 100000\r\n\r\nabc`);
      target.repeat(socket, 20, 'd');
    });
    const result = await post(target.origin, SHORT_MS);
    expect(result).toMatchObject({ kind: 'responded', statusCode: status });
    expect(result).toHaveProperty('body', expect.stringMatching(/^abcd*$/));
    await vi.waitUntil(() => target.open === 0);
  });

  it('a busy process of its own, without failing a response that has arrived', async () => {
    const target = await receiver((socket) => {
      socket.write(OK);
      for (const end = performance.now() + 2 * SHORT_MS; performance.now() < end;);
    });
    expect(await post(target.origin, SHORT_MS)).toEqual(responded(200));
  });
});

describe('the outbound client lets no request wait for another:', () => {
  it('one beside any number of slow ones to the same origin is sent at once', async () => {
    const slow: Socket[] = [];
    const target = await receiver((socket, request) => {
      if (request.endsWith('slow')) slow.push(socket);
      else socket.write(OK);
    });
    const sent = Array.from({ length: 150 }, () => post(target.origin, AMPLE_MS, 'slow'));
    await vi.waitUntil(() => slow.length === 150, { timeout: AMPLE_MS });
    expect(await post(target.origin, AMPLE_MS, 'fast')).toEqual(responded(200));
    for (const socket of slow) socket.write(OK);
    expect(await Promise.all(sent)).toEqual(sent.map(() => responded(200)));
  });
});

describe('a connection that the receiver closed while it was idle', () => {
  /** Answers the first request of each connection; ends a connection as the test says at the next. */
  const forgetful = (end: (socket: Socket) => void) => {
    const used = new Set<Socket>();
    return receiver((socket) => {
      if (used.has(socket)) end(socket);
      else socket.write(OK);
      used.add(socket);
    });
  };
  const resent = (statusCode: number) =>
    expect.objectContaining({ kind: 'responded', statusCode, isResent: true }) as AttemptResult;

  it.each<[string, (socket: Socket) => void]>([
    ['reset', (socket) => socket.resetAndDestroy()],
    ['ended', (socket) => socket.end()],
    ['ended after an empty line', (socket) => socket.end('\r\n')],
  ])('by a %s costs no attempt: the requests are sent once more', async (_name, end) => {
    const target = await forgetful(end);
    const batch = () => Promise.all(Array.from({ length: 10 }, () => post(target.origin)));
    expect(await batch()).toEqual(Array(10).fill(responded(200)));
    await turn();
    expect(await batch()).toEqual(Array(10).fill(resent(200)));
    // Each over a connection of its own, since the other idle ones may be closed, too.
    expect(target.requests).toHaveLength(30);
  });

  it('is not replaced twice', async () => {
    let served = 0;
    const target = await receiver((socket) => {
      if (++served === 1) socket.write(OK);
      else socket.resetAndDestroy();
    });
    expect(await post(target.origin)).toEqual(responded(200));
    await turn();
    expect(await post(target.origin)).toMatchObject({ error: 'http', isResent: true });
    expect(target.requests).toHaveLength(3);
  });

  it.each<[string, string, string]>([
    ['a byte', 'H', 'bad_response'],
    ['an informational response', 'HTTP/1.1 103 X\r\n\r\n', 'bad_response'],
  ])('after %s of an answer is a failure', async (_name, bytes, error) => {
    const target = await forgetful((socket) => socket.end(bytes));
    expect(await post(target.origin)).toEqual(responded(200));
    await turn();
    expect(await post(target.origin)).toEqual(failed(error));
    expect(target.requests).toHaveLength(2);
  });

  it('keeps the deadline of the attempt', async () => {
    const target = await receiver((socket) => {
      if (target.requests.length === 1) socket.write(OK);
      else if (target.requests.length === 2) socket.resetAndDestroy();
    });
    expect(await post(target.origin)).toEqual(responded(200));
    await turn();
    const result = await post(target.origin, SHORT_MS);
    expect(result).toMatchObject({ kind: 'failed', error: 'timeout', isResent: true });
    expect(target.requests).toHaveLength(3);
  });

  it('is not resent when this client has ended it', async () => {
    const target = await receiver((socket) => {
      if (target.requests.length === 1) socket.write(OK);
    });
    expect(await post(target.origin)).toEqual(responded(200));
    await turn();
    const result = post(target.origin);
    await vi.waitUntil(() => target.requests.length === 2);
    await client.close(0);
    expect(await result).toEqual(failed('timeout'));
    expect(target.requests).toHaveLength(2);
  });
});

describe('the outbound client reads answers as the RFC has them:', () => {
  it.each([
    ['a folded field', 'HTTP/1.1 200 OK\r\nX-Long: a,\r\n b\r\nContent-Length: 2\r\n\r\nok'],
    ['an empty line before the status line', `\r\n${OK}`],
    ['several', `\r\n\r\n\r\n${OK}`],
  ])('%s, on each use of a connection', async (_name, text) => {
    const target = await answering(text);
    for (let n = 0; n < 3; n++) {
      expect(await post(target.origin)).toEqual(responded(200));
      await turn();
    }
    expect(target.connections).toHaveLength(1);
  });

  it('an empty line after a body that comes late', async () => {
    const target = await receiver((socket) => {
      socket.write(OK, () => setImmediate(() => socket.write('\r\n')));
    });
    for (let n = 0; n < 10; n++) expect(await post(target.origin)).toMatchObject(responded(200));
  });
});

describe('the outbound client reads no more than it must and', () => {
  it('stops after 16 KB of an endless body', async () => {
    const target = await receiver((socket) => {
      socket.write(OPEN_ENDED);
      target.repeat(socket, 0, 'x'.repeat(10_000));
    });
    expect(await post(target.origin)).toEqual(responded(200, 'x'.repeat(MAX_RESPONSE_BYTES)));
    await vi.waitUntil(() => target.open === 0);
  });

  it('joins a body of very small chunks', async () => {
    const chunks = Array.from({ length: 5_000 }, (_, n) => `1\r\n${n % 10}\r\n`).join('');
    const target = await answering(
      `HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${chunks}0\r\n\r\n`,
    );
    expect(await post(target.origin)).toEqual(responded(200, '0123456789'.repeat(500)));
  });

  it('keeps the connection of a body that fills the limit exactly', async () => {
    const body = 'x'.repeat(MAX_RESPONSE_BYTES);
    const target = await answering(
      `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    expect(await post(target.origin)).toEqual(responded(200, body));
    await turn();
    expect(await post(target.origin)).toEqual(responded(200, body));
    expect(target.connections).toHaveLength(1);
  });

  it('inflates nothing', async () => {
    const bomb = gzipSync(Buffer.alloc(4 * 1024 * 1024));
    const head = `HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: ${bomb.length}\r\n\r\n`;
    const target = await answering(Buffer.concat([Buffer.from(head), bomb]));
    const result = await post(target.origin);
    expect(result).toMatchObject({ statusCode: 200 });
    expect(result).toHaveProperty('body', expect.stringMatching(/^\ufffd\ufffd/));
  });

  it.each<[string, Behaviour]>([
    [
      'reset',
      (socket) => socket.write(ONE_SHORT, () => setImmediate(() => socket.resetAndDestroy())),
    ],
    ['cut short', (socket) => socket.end(ONE_SHORT)],
    ['followed by noise', (socket) => socket.write(`${OK}garbage`)],
  ])('counts a 2xx whose body is %s', async (_name, behaviour) => {
    const target = await receiver(behaviour);
    expect(await post(target.origin)).toEqual(responded(200));
  });

  it.each([
    [
      'with a body that a 204 cannot have',
      'HTTP/1.1 204 No Content\r\ncontent-length: 2\r\n\r\nok',
      204,
    ],
    [
      'after a 100 that was not requested',
      'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n',
      201,
    ],
    ['without any body', 'HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n', 202],
    [
      'with 1,200 small headers',
      `HTTP/1.1 200 OK\r\n${'a: b\r\n'.repeat(1_200)}content-length: 0\r\n\r\n`,
      200,
    ],
  ])('takes a response %s', async (_name, text, status) => {
    const target = await answering(text);
    expect(await post(target.origin)).toEqual(responded(status, null));
  });

  it('makes a body storable', async () => {
    const target = await answering(
      Buffer.from('HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\na\0b\x1f\xff', 'latin1'),
    );
    expect(await post(target.origin)).toEqual(responded(200, 'a\ufffdb\ufffd\ufffd'));
  });
});

describe('closing the outbound client', () => {
  it('waits for requests in flight', async () => {
    const target = await receiver((socket) => void closing.then(() => socket.write(OK)));
    const { promise: closing, resolve: beginClosing } = withResolvers();
    const result = post(target.origin);
    await vi.waitUntil(() => target.requests.length === 1);
    const closed = client.close(AMPLE_MS);
    beginClosing();
    expect(await result).toEqual(responded(200));
    await closed;
    await vi.waitUntil(() => target.open === 0);
  });

  it('ends requests that do not finish, and sends nothing afterwards', async () => {
    const target = await receiver(() => undefined);
    const result = post(target.origin);
    await vi.waitUntil(() => target.requests.length === 1);
    await client.close(0);
    expect(await result).toEqual(failed('timeout'));
    expect(await post(target.origin)).toEqual({ kind: 'unsent', reason: 'stopping' });
    await vi.waitUntil(() => target.open === 0);
    expect(target.connections).toHaveLength(1);
  });
});

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((settle) => (resolve = settle));
  return { promise, resolve };
}

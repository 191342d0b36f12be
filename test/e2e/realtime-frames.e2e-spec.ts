import { once } from 'node:events';
import fc from 'fast-check';
import { WebSocket } from 'undici';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { propertyRuns } from '../support/property-runs.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { SocketClient } from '../support/socket-client.js';
import { createDatabase, type TestDatabase } from '../support/stores.js';

let database: TestDatabase;
let server: RealtimeApp;
let bystander: SocketClient;

beforeAll(async () => {
  database = await createDatabase();
  server = await startRealtimeApp(database.url);
  bystander = await SocketClient.connect(server.url, { auth: { token: tokenOf('bystander') } });
  await bystander.subscribe('trade.*');
});

afterAll(async () => {
  bystander?.close();
  await server?.close();
  await database?.drop();
});

const WAIT = { timeout: 10_000, interval: 2 };

/** Engine.IO by hand: whatever is given goes out as a frame of its own. */
class RawConnection {
  readonly received: string[] = [];
  private readonly socket: WebSocket;

  private constructor(url: string) {
    this.socket = new WebSocket(
      `${url.replace('http', 'ws')}/socket.io/?EIO=4&transport=websocket`,
    );
    this.socket.addEventListener('message', ({ data }) => this.received.push(String(data)));
  }

  static async open(url: string): Promise<RawConnection> {
    const connection = new RawConnection(url);
    await once(connection.socket, 'open');
    await connection.until((frame) => frame.startsWith('0{'));
    return connection;
  }

  /** One that is authenticated, as Socket.IO's client would be. */
  static async connected(url: string): Promise<RawConnection> {
    const connection = await RawConnection.open(url);
    connection.send(CONNECT());
    await connection.until((frame) => frame.startsWith('42["connected"'));
    return connection;
  }

  send(frame: string | Uint8Array): void {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(frame);
  }

  async until(matches: (frame: string) => boolean): Promise<void> {
    await vi.waitUntil(() => this.received.some(matches), WAIT);
  }

  /** Everything before this has been handled: it is answered, or the server has closed. */
  async settled(): Promise<void> {
    this.send('42999["ping",{}]');
    const isAnswered = () => this.received.some((frame) => frame.startsWith('43999'));
    const isOver = () => this.socket.readyState === WebSocket.CLOSED || isAnswered();
    await vi.waitUntil(isOver, WAIT);
  }

  close(): void {
    this.socket.close();
  }
}

const CONNECT = () => `40${JSON.stringify({ token: tokenOf('raw') })}`;

async function expectOthersUnharmed(): Promise<void> {
  expect(await bystander.request('ping', {})).toEqual({ ok: true });
  const id = server.publish({});
  expect(await bystander.eventsUntil(id)).toEqual([id]);
}

const placeholder = (num: unknown) => `{"_placeholder":true,"num":${JSON.stringify(num)}}`;
const bytes = new Uint8Array([1, 2, 3]);

const FRAMES: [what: string, ...frames: (string | Uint8Array)[]][] = [
  ['nothing', ''],
  ['a message without a packet', '4'],
  ['an event without data', '42'],
  ['an event that is cut off', '42["subscribe",{"topics":['],
  ['an event that is an empty array', '42[]'],
  ['an event that is not an array', '42{"a":1}', '42"subscribe"', '42null'],
  ['an event whose name is a number', '42[5,{}]', '425[5]'],
  ['an event whose name is an object', '42[{"a":1}]'],
  ['an event whose name is null', '42[null]'],
  ['an error from the client', '42["error","boom"]', '421["error"]'],
  ['names that Node or Socket.IO reserve', '42["disconnect"]'],
  ['a reserved name (newListener)', '42["newListener","a"]'],
  ['a reserved name (connect_error)', '42["connect_error"]'],
  ['names of methods', '42["__proto__",{}]', '42["constructor"]', '42["toString"]'],
  ['a huge acknowledgement id', `42${'9'.repeat(400)}["subscribe",{}]`],
  ['a negative acknowledgement id', '42-1["subscribe",{}]'],
  ['acknowledgements of nothing', '430[]', '43[]', '43999999[{}]', '43"x"'],
  ['a binary event without its bytes', `451-["subscribe",${placeholder(0)}]`, '42["ping",{}]'],
  ['a binary event with its bytes', `451-["subscribe",${placeholder(0)}]`, bytes],
  ['a binary event inside a frame', `451-["subscribe",{"topics":[${placeholder(0)}]}]`, bytes],
  ['a placeholder of bytes that do not exist', `451-["ping",${placeholder(99)}]`, bytes],
  ['a placeholder that is no number', `451-["ping",${placeholder('__proto__')}]`, bytes],
  ['no attachments that are announced', '450-["ping",{}]'],
  ['endless attachments', `4599999999-["ping",${placeholder(0)}]`, bytes, bytes],
  ['attachments that are not counted', '45-["ping"]', '45x-["ping"]'],
  ['a binary acknowledgement', `461-0[${placeholder(0)}]`, bytes],
  ['bytes that nothing has announced', bytes],
  ['a second connect', CONNECT()],
  ['a connect with nonsense', '40{"token":{"a":1}}', '40[]', '40"x"', '40null'],
  ['a connect to a namespace that does not exist', '40/admin,{}', '40/,{}'],
  ['an event in a namespace that does not exist', '42/admin,["ping",{}]'],
  ['an event after a disconnect, and a connect again', '41', '42["ping",{}]', CONNECT()],
  ['a refusal of the server', '44{"message":"no"}', '44"x"'],
  ['packets of unknown types', '47', '48[]', '4x', '9', 'x', '\u0000'],
  ['packets of the transport', '1', '2probe', '3', '5', '6', '0{}'],
  ['an event that is deeply nested', `42["ping",${'['.repeat(30_000)}${']'.repeat(30_000)}]`],
  ['lone surrogates', '42["ping",{"\\ud800":"\\udfff"}]'],
];

describe('malformed frames', () => {
  it.each(FRAMES)('%s', async (_what, ...frames) => {
    for (const open of [
      () => RawConnection.connected(server.url),
      () => RawConnection.open(server.url),
    ]) {
      const connection = await open();
      for (const frame of frames) connection.send(frame);
      await connection.settled();
      connection.close();
    }
    await expectOthersUnharmed();
  });

  it('of any kind harm no other client', { tags: ['properties'] }, async () => {
    const packet = fc
      .tuple(
        fc.constantFrom('', '4', '42', '421', '45', '451-', '43', '46', '40'),
        fc.oneof(fc.json(), fc.string({ unit: 'binary' })),
      )
      .map(([head, tail]) => head + tail);
    const frame = fc.oneof({ weight: 4, arbitrary: packet }, fc.uint8Array({ maxLength: 64 }));
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { minLength: 1, maxLength: 20 }), async (frames) => {
        const connection = await RawConnection.connected(server.url);
        for (const each of frames) connection.send(each);
        await connection.settled();
        connection.close();
      }),
      { numRuns: propertyRuns(60) },
    );
    await expectOthersUnharmed();
  });

  it('a client that asks to connect many times at once becomes one socket', async () => {
    const connection = await RawConnection.open(server.url);
    for (let n = 0; n < 50; n++) connection.send(CONNECT());
    await connection.until((frame) => frame.startsWith('40{"sid"'));
    await connection.settled();
    const accepted = connection.received.filter((each) => each.startsWith('40{"sid"'));
    expect(accepted).toHaveLength(1);
    connection.close();
    await expectOthersUnharmed();
  });
});

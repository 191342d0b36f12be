import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Requests } from '../../src/realtime/transports/requests.service.js';
import { bearer } from '../support/auth-app.js';
import { EngineSocket, PollingSession, SEPARATOR } from '../support/engine-client.js';
import { eventually } from '../support/eventually.js';
import { type RealtimeApp, startRealtimeApp, tokenOf } from '../support/realtime-app.js';
import { createDatabase, type TestDatabase } from '../support/stores.js';

/*
 * What any client of Socket.IO may rely on (Engine.IO 4, Socket.IO 5), packet by packet. The
 * credential is in the headers, so that the packets are those of a server without authentication.
 */

const TIMING = { pingInterval: 300, pingTimeout: 500, connectTimeout: 1_000 };

let database: TestDatabase;
let server: RealtimeApp;
let url: string;

beforeAll(async () => {
  database = await createDatabase();
  server = await startRealtimeApp(database.url, {}, TIMING);
  ({ url } = server);
  // A request of this test only, which is answered with its payload.
  const requests = server.app.get(Requests, { strict: false });
  const answer = requests.answer.bind(requests);
  requests.answer = (connection, name, echoed) =>
    name === 'echo' ? { ok: true, echoed } : answer(connection, name, echoed);
});

afterAll(async () => {
  await server?.close();
  await database?.drop();
});

const headers = () => bearer(tokenOf('acme'));
const openPolling = () => PollingSession.open(url, headers());

/** The same in the main namespace, after `connected`. */
async function joinedPolling(): Promise<PollingSession> {
  const session = await openPolling();
  await session.push('40');
  const [accepted] = await session.packetsUntil((packet) => packet.startsWith('42["connected"'));
  expect(accepted).toMatch(/^40\{"sid":"[^"]+"\}$/);
  return session;
}

/** A WebSocket after the handshake. */
async function openSocket(): Promise<EngineSocket> {
  const socket = await EngineSocket.open(url, { headers: headers() });
  expect(await socket.next()).toMatch(/^0\{/);
  return socket;
}

/** The same in the main namespace, after `connected`. */
async function connected(): Promise<EngineSocket> {
  const socket = await openSocket();
  socket.send('40');
  expect(await socket.nextMessage()).toMatch(/^40\{"sid":"[^"]+"\}$/);
  expect(await socket.nextMessage()).toMatch(/^42\["connected",/);
  return socket;
}

const expectGone = (session: PollingSession) =>
  eventually(async () => expect((await session.poll()).status).toBe(400));

describe('an Engine.IO session', () => {
  const HANDSHAKE = {
    sid: expect.stringMatching(/^.{20,}$/) as string,
    pingInterval: TIMING.pingInterval,
    pingTimeout: TIMING.pingTimeout,
    maxPayload: 64 * 1024,
  };

  it('opens over polling, and offers to upgrade', async () => {
    const { handshake } = await openPolling();
    expect(handshake).toEqual({ ...HANDSHAKE, upgrades: ['websocket'] });
  });

  it('opens over WebSocket, from where there is nothing to upgrade to', async () => {
    const socket = await EngineSocket.open(url);
    const packet = String(await socket.next());
    expect(packet[0]).toBe('0');
    expect(JSON.parse(packet.slice(1))).toEqual({ ...HANDSHAKE, upgrades: [] });
    socket.close();
  });

  const NO_SESSIONS = [
    ['without a version', 'transport=T'],
    ['with a version that is none', 'EIO=abc&transport=T'],
    ['of an older version', 'EIO=3&transport=T'],
    ['without a transport', 'EIO=4'],
    ['over an unknown transport', 'EIO=4&transport=abc'],
    ['that does not exist', 'EIO=4&transport=T&sid=unknown'],
  ] as const;

  it.each(NO_SESSIONS)('%s is refused over polling', async (_what, query) => {
    const answer = await fetch(`${url}/socket.io/?${query.replace('=T', '=polling')}`);
    expect(answer.status).toBe(400);
  });

  it.each(NO_SESSIONS)('%s is refused over WebSocket', async (_what, query) => {
    expect(await EngineSocket.refused(url, query.replace('=T', '=websocket'))).toEqual([]);
  });

  it.each(['POST', 'PUT', 'DELETE'])('is not opened with %s', async (method) => {
    const answer = await fetch(`${url}/socket.io/?EIO=4&transport=polling`, { method });
    expect(answer.status).toBe(400);
  });
});

describe('packets', () => {
  it('travel over polling, several in one body, and are answered in their order', async () => {
    const session = await joinedPolling();
    const pushed = await session.push('421["echo",1]', '422["echo","☃"]');
    expect(pushed).toEqual({ status: 200, body: 'ok' });
    const packets = await session.packetsUntil((packet) => packet.startsWith('432'));
    expect(packets).toEqual(['431[{"ok":true,"echoed":1}]', '432[{"ok":true,"echoed":"☃"}]']);
  });

  it('carry bytes over polling as base64', async () => {
    const session = await joinedPolling();
    const bytes = `b${Buffer.from([1, 2, 3, 4]).toString('base64')}`;
    await session.push('451-7["echo",{"_placeholder":true,"num":0}]', bytes);
    const packets = await session.packetsUntil((packet) => packet.startsWith('b'));
    expect(packets).toEqual(['461-7[{"ok":true,"echoed":{"_placeholder":true,"num":0}}]', bytes]);
  });

  it('of events come over polling several in one answer', async () => {
    const session = await joinedPolling();
    await session.push('421["subscribe",{"topics":["trade.*"]}]');
    await session.packetsUntil((packet) => packet.startsWith('431'));
    const ids = [1, 2, 3, 4].map(() => server.publish({}));
    const packets = await session.packetsUntil((packet) => packet.includes(ids.at(-1)!));
    expect(packets.join(SEPARATOR).split(SEPARATOR)).toHaveLength(4);
    const events = packets.map((packet) => JSON.parse(packet.slice(2)) as [string, { id: string }]);
    expect(events.map(([name, { id }]) => [name, id])).toEqual(ids.map((id) => ['event', id]));
  });

  it('that are none end the session over polling', async () => {
    const session = await openPolling();
    await session.push('abc').catch(() => undefined);
    await expectGone(session);
  });

  it.each([['abc'], ['9'], ['40', '4abc'], ['2probe']])(
    'that make no sense end the session over WebSocket: %s %s',
    async (...packets) => {
      const socket = await openSocket();
      socket.send(...packets);
      await socket.closed;
    },
  );

  it('are taken by one poll at a time: a second one ends the session', async () => {
    const session = await openPolling();
    const answers = await Promise.all([session.poll(), session.poll()]);
    const [first, second] = answers.toSorted((a, b) => a.status - b.status);
    expect(first).toEqual({ status: 200, body: '1' });
    expect([400, 500]).toContain(second!.status);
    await expectGone(session);
  });

  it('are not kept for a client that has left its poll', async () => {
    const session = await openPolling();
    await session.abandonPoll();
    await expectGone(session);
  });
});

describe('heartbeats', () => {
  it('are asked for again and again over polling', async () => {
    const session = await openPolling();
    for (let beat = 0; beat < 3; beat++) {
      expect(await session.poll()).toEqual({ status: 200, body: '2' });
      expect(await session.push('3')).toEqual({ status: 200, body: 'ok' });
    }
  });

  it('are asked for again and again over WebSocket', async () => {
    const socket = await connected();
    for (let beat = 0; beat < 3; beat++) {
      expect(await socket.next()).toBe('2');
      socket.send('3');
    }
    socket.close();
  });

  it('that are not answered end the session over polling', async () => {
    const session = await openPolling();
    expect(await session.poll()).toEqual({ status: 200, body: '2' });
    await expectGone(session);
  });

  it('that are not answered end the session over WebSocket', async () => {
    const socket = await connected();
    await socket.closed;
  });
});

describe('the end of a session', () => {
  it('over polling settles the poll that waits', async () => {
    const session = await openPolling();
    const [poll] = await Promise.all([session.poll(), session.push('1')]);
    expect(poll).toEqual({ status: 200, body: '6' });
    await expectGone(session);
  });

  it('over WebSocket closes it', async () => {
    const socket = await openSocket();
    socket.send('1');
    await socket.closed;
  });
});

describe('the upgrade', () => {
  const socketOf = ({ sid }: PollingSession) =>
    EngineSocket.open(url, { headers: headers() }, `EIO=4&sid=${sid}`);

  it('moves a session from polling to WebSocket, and loses and doubles nothing', async () => {
    const session = await joinedPolling();
    await session.push('421["subscribe",{"topics":["trade.*"]}]');
    await session.packetsUntil((packet) => packet.startsWith('431'));
    const socket = await socketOf(session);

    const ids = [server.publish({}), server.publish({})];
    socket.send('2probe');
    expect(await socket.next()).toBe('3probe');
    ids.push(server.publish({}), server.publish({}));
    // Everything until the packet that frees the poll for the upgrade.
    const polled = await session.packetsUntil((packet) => packet === '6');
    ids.push(server.publish({}), server.publish({}));
    socket.send('5', '422["echo",0]');
    const last = server.publish({});
    ids.push(last);

    const received = polled.filter((packet) => packet !== '6');
    while (!received.some((packet) => packet.includes(last)))
      received.push(await socket.nextOf('42['));
    const idOf = (packet: string) =>
      (JSON.parse(packet.slice(2)) as [string, { id: string }])[1].id;
    expect(received.map(idOf)).toEqual(ids);
    socket.close();
  });

  it('leaves nothing at the old address', async () => {
    const session = await joinedPolling();
    const socket = await socketOf(session);
    socket.send('2probe');
    await socket.next();
    socket.send('5');
    await expectGone(session);
    socket.send('421["echo",0]');
    expect(await socket.nextOf('431')).toBe('431[{"ok":true,"echoed":0}]');
    socket.close();
  });

  it('happens once: a second WebSocket is closed, and the first one stays', async () => {
    const session = await openPolling();
    const socket = await socketOf(session);
    socket.send('2probe');
    await socket.next();
    socket.send('5', '40');
    await socket.nextOf('40');
    const second = await socketOf(session);
    await second.closed;
    socket.send('421["echo",0]');
    expect(await socket.nextOf('431')).toBe('431[{"ok":true,"echoed":0}]');
    socket.close();
  });
});

describe('the main namespace', () => {
  it('is joined without a payload, or with one', async () => {
    (await connected()).close();
    const socket = await EngineSocket.open(url);
    await socket.next();
    socket.send(`40${JSON.stringify({ token: tokenOf('acme') })}`);
    expect(await socket.nextMessage()).toMatch(/^40\{"sid":"[^"]+"\}$/);
    socket.close();
  });

  it('is the only one: others are refused, and the session stays open', async () => {
    const socket = await openSocket();
    socket.send('40/random,');
    expect(await socket.nextMessage()).toBe('44/random,{"message":"Invalid namespace"}');
    socket.send('40');
    expect(await socket.nextMessage()).toMatch(/^40\{/);
    socket.close();
  });

  it('refuses with a reason, in the packet of a refusal', async () => {
    const socket = await EngineSocket.open(url);
    await socket.next();
    socket.send('40{"token":"no token"}');
    const packet = String(await socket.nextMessage());
    expect(packet).toMatch(/^44\{"message":/);
    expect(JSON.parse(packet.slice(2))).toMatchObject({ data: { code: 'invalid_token' } });
    socket.close();
  });

  it('is waited for, but not for ever', async () => {
    const socket = await openSocket();
    // It answers heartbeats, and that is all it does.
    const nothing = socket.nextMessage();
    await Promise.race([socket.closed, nothing]);
    expect(socket.isOpen).toBe(false);
  });

  it('is left with a packet, and the session stays open', async () => {
    const socket = await connected();
    socket.send('41');
    expect(await socket.next()).toBe('2');
    socket.close();
  });

  it('receives nothing from a socket that has left it', async () => {
    const socket = await connected();
    socket.send('41', '421["echo",0]');
    await socket.closed;
  });
});

describe('an event of a client', () => {
  it('is acknowledged under its number', async () => {
    const socket = await connected();
    socket.send('42456["echo",{"3":[true,null,"2"]}]');
    expect(await socket.nextMessage()).toBe('43456[{"ok":true,"echoed":{"3":[true,null,"2"]}}]');
    socket.close();
  });

  it('brings bytes, and gets bytes back', async () => {
    const socket = await connected();
    const places = '{"a":{"_placeholder":true,"num":0},"b":[{"_placeholder":true,"num":1}]}';
    socket.send(`452-789["echo",${places}]`, Buffer.from([1, 2, 3]), Buffer.from([4]));
    expect(await socket.nextMessage()).toBe(`462-789[{"ok":true,"echoed":${places}}]`);
    expect(await socket.nextMessage()).toEqual(Buffer.from([1, 2, 3]));
    expect(await socket.nextMessage()).toEqual(Buffer.from([4]));
    socket.close();
  });

  it('is taken in its turn', async () => {
    const socket = await connected();
    socket.send(...Array.from({ length: 20 }, (_, n) => `42${n}["echo",${n}]`));
    for (let n = 0; n < 20; n++) {
      expect(await socket.nextMessage()).toBe(`43${n}[{"ok":true,"echoed":${n}}]`);
    }
    socket.close();
  });

  it('ends the session where its bytes do not come', async () => {
    const socket = await connected();
    socket.send('451-["echo",{"_placeholder":true,"num":0}]', '421["echo",0]');
    await socket.closed;
  });
});

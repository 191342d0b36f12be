import { io } from 'socket.io-client';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import {
  connect,
  type Gap,
  socketIo,
  type Transport,
  webSocket,
} from '../../clients/typescript/src/tidings-client.js';
import { BreakableProxy } from '../../clients/typescript/test/breakable-proxy.js';
import { newId } from '../../src/shared/ids.js';
import { eventually } from '../support/eventually.js';
import { tokenFor } from '../support/tokens.js';
import { type RunningApp, World } from '../support/world.js';

let world: World;
let product: RunningApp;
let line: BreakableProxy;

beforeAll(async () => {
  world = await World.create();
  product = await world.start();
  line = await BreakableProxy.to(product.baseUrl);
});

afterAll(async () => {
  await line?.close();
  await world?.stop();
});

const TRANSPORTS: [name: string, transport: () => Transport][] = [
  ['Socket.IO', () => socketIo(io)],
  ['a plain WebSocket', () => webSocket({ WebSocket })],
];

describe.each(TRANSPORTS)('a client over %s', (name, transport) => {
  const owner = `owner-${name}`;
  const publish = async () => {
    const { id } = await product.api.publish({ type: 'trade.submitted', ownerId: owner });
    return id;
  };

  function start(received: string[], after?: string) {
    const gaps: Gap[] = [];
    const client = connect({
      url: line.url,
      transport: transport(),
      token: tokenFor(owner),
      after,
      backoff: { baseMs: 20, maxMs: 100 },
      onGap: (gap) => gaps.push(gap),
      onError: () => undefined,
    });
    const { ready } = client.subscribe(['trade.*'], ({ id }) => received.push(id));
    return { client, gaps, ready };
  }

  it('receives every event once, whenever the connection is cut, also after a restart', async () => {
    const received: string[] = [];
    const first = start(received);
    await first.ready;
    const ids = [await publish()];
    await eventually(() => expect(received).toEqual(ids));
    for (let round = 0; round < 5; round++) {
      ids.push(...(await Promise.all(Array.from({ length: 5 }, publish))));
      line.cut();
      ids.push(await publish());
    }
    await eventually(() => expect(received).toHaveLength(ids.length));
    expect(received.toSorted()).toEqual(ids.toSorted());
    first.client.close();

    const missed = [await publish(), await publish()];
    const later: string[] = [];
    const second = start(later, first.client.lastEventId);
    await second.ready;
    missed.push(await publish());
    await eventually(() => expect(later.slice(-missed.length)).toEqual(missed));
    expect([...first.gaps, ...second.gaps]).toEqual([]);
    second.client.close();
  });

  it('reports a gap when the log does not know its position', async () => {
    const after = newId('evt');
    const received: string[] = [];
    const { client, gaps, ready } = start(received, after);
    await ready;
    const id = await publish();
    await eventually(() => expect(received).toEqual([id]));
    expect(gaps).toEqual([{ after }]);
    client.close();
  });
});

import { performance } from 'node:perf_hooks';
import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it, vi } from 'vitest';
import { FanoutService } from './fanout.service.js';
import type { Encoding, Frame } from './frame.js';
import { RoomIndex } from './room-index.js';
import { ReplayBuffer } from '../resume/replay-buffer.js';
import { MAX_BACKLOG_BYTES } from '../limits.js';
import { type Admission, Connection } from '../connections/realtime.connection.js';
import { Subscriptions } from '../subscriptions/subscriptions.service.js';
import { MessageBudget } from '../connections/rate-limit.js';
import { ConnectionEvents } from '../connections/connection-events.js';

const frameOf = (text: string): Frame => ({ text, bytes: Buffer.from(text) });
const ENCODINGS: Encoding[] = [1, 2].map((transport) => ({
  separator: '',
  event: ({ id }) => frameOf(`${id}@${transport};`),
  notice: (name) => frameOf(`${name}@${transport};`),
}));

/** A transport that keeps what it is given, and in how many writes. */
class MemoryConnection extends Connection {
  override readonly transport = 'websocket';
  override readonly heartbeatMs = 0;
  override backlogBytes = 0;
  readonly writes: string[] = [];

  constructor(encoding: Encoding, liveEvents: FanoutService) {
    const admission: Admission = {
      connectionId: 'con_1',
      address: '127.0.0.1',
      principal: { ownerId: 'acme', userId: 'acme', roles: new Set(['subscriber']) },
      limits: {} as Admission['limits'],
      budget: new MessageBudget(1, 1, 0),
      liveEvents,
      closeGraceMs: 0,
      release: () => undefined,
    };
    super(admission, { own: encoding, all: encoding });
  }

  get received(): string[] {
    return this.writes.join('').split(';').slice(0, -1);
  }

  protected override write({ bytes }: Frame): void {
    this.writes.push(bytes.toString());
  }
  protected override end(): void {
    this.ended();
  }
  protected override destroy(): void {}
}

const EVERYWHERE = { reaches: () => true, channelOf: () => undefined };
const NO_CHANNELS = { typesIn: () => [] };

function world(count: number) {
  const rooms = new RoomIndex<Connection>();
  const fanout = new FanoutService(rooms, EVERYWHERE);
  const subscriptions = new Subscriptions(rooms, new ConnectionEvents(), NO_CHANNELS);
  const connections = Array.from(
    { length: count },
    (_, index) => new MemoryConnection(ENCODINGS[index % ENCODINGS.length]!, fanout),
  );
  let published = 0;
  return {
    fanout,
    subscriptions,
    connections,
    publish: (type: string) => {
      const id = `e${++published}`;
      const event = { id, ownerId: null, type, subject: null, body: JSON.stringify({ id }) };
      fanout.deliver([event]);
      return id;
    },
    /** Until everything is sent. */
    settled: async () => {
      for (let turns = 0; turns < 5; turns++) await turn();
      await delay(10);
      for (let turns = 0; turns < 5; turns++) await turn();
    },
  };
}

const who = fc.nat(4);
const type = fc.constantFrom('a.x', 'a.y', 'b.x');
const topic = fc.constantFrom('a.*', 'a.x', 'b.x', '*');
const step = fc.oneof(
  { weight: 6, arbitrary: fc.record({ does: fc.constant('publish' as const), type }) },
  fc.record({ does: fc.constant('subscribe' as const), who, topic }),
  fc.record({ does: fc.constant('unsubscribe' as const), who, topic }),
  fc.record({ does: fc.constant('say' as const), who }),
  fc.record({ does: fc.constant('shutGate' as const), who }),
  fc.record({ does: fc.constant('openGate' as const), who }),
  fc.record({ does: fc.constant('close' as const), who }),
  fc.record({ does: fc.constant('wait' as const), ms: fc.constantFrom(0, 0, 1, 3) }),
);

const receives = (topics: Iterable<string>, eventType: string): boolean =>
  [...topics].some((each) => each === '*' || each === eventType || each === `${eventType[0]}.*`);

describe(FanoutService, () => {
  it('sends each connection what it would be sent if nothing were collected', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 60 }), async (steps) => {
        const { subscriptions, connections, publish, settled } = world(5);
        const models = connections.map((_, index) => ({
          transport: (index % ENCODINGS.length) + 1,
          topics: new Set<string>(),
          received: [] as string[],
          behindGate: undefined as string[] | undefined,
          isOpen: true,
        }));
        for (const each of steps) {
          if (each.does === 'publish') {
            const id = publish(each.type);
            for (const model of models) {
              if (!model.isOpen || !receives(model.topics, each.type)) continue;
              (model.behindGate ?? model.received).push(`${id}@${model.transport}`);
            }
            continue;
          }
          if (each.does === 'wait') {
            await (each.ms === 0 ? turn() : delay(each.ms));
            continue;
          }
          const connection = connections[each.who]!;
          const model = models[each.who]!;
          if (!model.isOpen) continue;
          switch (each.does) {
            case 'subscribe':
              subscriptions.add(connection, [{ type: each.topic }]);
              model.topics.add(each.topic);
              break;
            case 'unsubscribe':
              subscriptions.remove(connection, [{ type: each.topic }]);
              model.topics.delete(each.topic);
              break;
            case 'say':
              connection.notify('pong', { serverTime: '' });
              model.received.push(`pong@${model.transport}`);
              break;
            case 'shutGate':
              if (model.behindGate) break;
              connection.catchUp();
              connection.gate = new ReplayBuffer();
              model.behindGate = [];
              break;
            case 'openGate':
              if (!model.behindGate) break;
              connection.catchUp();
              for (const frame of (connection.gate as ReplayBuffer).open()) connection.send(frame);
              model.received.push(...model.behindGate);
              model.behindGate = undefined;
              break;
            case 'close':
              connection.close('closed_by_operator');
              model.received.push(`error@${model.transport}`);
              model.isOpen = false;
              break;
          }
        }
        await settled();
        expect(connections.map(({ received }) => received)).toEqual(
          models.map(({ received }) => received),
        );
      }),
      { numRuns: 60 },
    );
  });

  it('sends an event at once after a pause, and those that follow it together', async () => {
    const { subscriptions, connections, publish, settled } = world(1);
    const [connection] = connections as [MemoryConnection];
    subscriptions.add(connection, [{ type: '*' }]);
    // However long the machine takes for these, they come at one moment.
    const clock = vi.spyOn(performance, 'now').mockReturnValue(performance.now());
    publish('a.x');
    expect(connection.writes).toEqual(['e1@1;']);
    for (let count = 0; count < 9; count++) publish('a.x');
    expect(connection.writes).toHaveLength(1);
    clock.mockRestore();
    await settled();
    expect(connection.writes).toEqual(['e1@1;', 'e2@1;e3@1;e4@1;e5@1;e6@1;e7@1;e8@1;e9@1;e10@1;']);
  });

  it('yields after so many connections, which changes nothing for any of them', async () => {
    const { subscriptions, connections, publish, settled } = world(2_500);
    for (const connection of connections) subscriptions.add(connection, [{ type: '*' }]);
    const first = publish('a.x');
    expect(connections.filter(({ writes }) => writes.length > 0)).toHaveLength(1_000);

    // Each of them still has to be sent the first one.
    const [leaves, leavesAndReturns, talks, ends] = connections.slice(-4) as [
      ...MemoryConnection[],
    ] & { length: 4 };
    subscriptions.remove(leaves!, [{ type: '*' }]);
    talks!.notify('pong', { serverTime: '' });
    ends!.close('closed_by_operator');
    const second = publish('a.x');
    subscriptions.remove(leavesAndReturns!, [{ type: '*' }]);
    const third = publish('a.x');
    subscriptions.add(leavesAndReturns!, [{ type: '*' }]);
    const fourth = publish('b.x');
    await settled();

    const namesOf = ({ received }: Pick<MemoryConnection, 'received'>) =>
      received.map((each) => each.split('@')[0]);
    const others = connections.slice(0, -4).map(namesOf);
    expect(new Set(others.map(String))).toEqual(new Set([String([first, second, third, fourth])]));
    expect([leaves, leavesAndReturns, talks, ends].map((each) => namesOf(each!))).toEqual([
      [first],
      [first, second, fourth],
      [first, 'pong', second, third, fourth],
      [first, 'error'],
    ]);
  });

  it('cuts a connection that is too far behind between the chunks of a burst, and no other', async () => {
    const { subscriptions, connections, publish, settled } = world(2);
    const [slow, other] = connections as [MemoryConnection, MemoryConnection];
    for (const connection of connections) subscriptions.add(connection, [{ type: '*' }]);
    publish('a.x');
    slow.backlogBytes = MAX_BACKLOG_BYTES + 1;
    publish('a.x');
    publish('a.x');
    await settled();
    expect(slow.received).toEqual(['e1@1']);
    expect(slow.isOpen).toBe(false);
    expect(other.received).toEqual(['e1@2', 'e2@2', 'e3@2']);
  });

  it('sends everything at once when more waits than should be collected', () => {
    const { subscriptions, connections, fanout } = world(2);
    for (const connection of connections) subscriptions.add(connection, [{ type: '*' }]);
    const events = Array.from({ length: 6 }, (_, index) => {
      const id = `e${index}`;
      const body = JSON.stringify({ id, data: 'x'.repeat(1024 * 1024) });
      return { id, ownerId: null, type: 'a.x', subject: null, body };
    });
    fanout.deliver(events.slice(0, 1));
    fanout.deliver(events.slice(1));
    expect(connections[0]!.received).toHaveLength(6);
  });
});

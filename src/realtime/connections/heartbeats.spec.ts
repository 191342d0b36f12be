import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import { expect, it, onTestFinished } from 'vitest';
import { Heartbeats } from './heartbeats.timer.js';

const INTERVAL_MS = 30;

async function socketPair(): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [other] = await accepted;
  onTestFinished(() => {
    client.destroy();
    other.destroy();
    server.close();
  });
  return [client, other];
}

it('after a pause of the process, what has arrived is processed before the next heartbeat', async () => {
  const [writer, reader] = await socketPair();
  const order: string[] = [];
  reader.on('data', () => order.push('data'));
  const beats = new Heartbeats<string>(INTERVAL_MS, () => order.push('beat'));
  beats.add('one');
  onTestFinished(() => beats.delete('one'));
  writer.write('answer');
  // The kernel has the bytes now; this loop keeps them unread until the heartbeat is long overdue.
  const until = performance.now() + 3 * INTERVAL_MS;
  while (performance.now() < until);
  while (order.length < 2) await new Promise((resolve) => setImmediate(resolve));
  expect(order.slice(0, 2)).toEqual(['data', 'beat']);
});

it('each subject is called once in each interval until it is deleted', async () => {
  const calls: string[] = [];
  const beats = new Heartbeats<string>(INTERVAL_MS, (name) => calls.push(name));
  beats.add('one');
  beats.add('other');
  while (calls.length < 4) await new Promise((resolve) => setImmediate(resolve));
  expect(calls.slice(0, 4).toSorted()).toEqual(['one', 'one', 'other', 'other']);
  beats.delete('one');
  calls.length = 0;
  while (calls.length < 2) await new Promise((resolve) => setImmediate(resolve));
  beats.delete('other');
  expect(calls).toEqual(['other', 'other']);
});

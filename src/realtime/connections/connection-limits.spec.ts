import { describe, expect, it } from 'vitest';
import { ConnectionLimits } from './connection-limits.js';

const places = (limits = {}) =>
  new ConnectionLimits({
    connections: 10,
    connectionsPerIp: 10,
    connectionsPerUser: 10,
    ...limits,
  });
const full = expect.objectContaining({ code: 'too_many_connections' }) as Error;

describe(ConnectionLimits, () => {
  it.each([
    ['in all', { connections: 2 }, ['c', 'c']],
    ['of one address', { connectionsPerIp: 2 }, ['1', 'c']],
    ['of one owner', { connectionsPerUser: 2 }, ['3', 'a']],
  ] as const)('are limited %s', (_what, limits, [ip, user]) => {
    const counted = places(limits);
    counted.take('1', 'a');
    const leave = counted.take('1', 'a');
    expect(() => counted.take(ip, user)).toThrow(full);
    leave();
    counted.take(ip, user);
    expect(() => counted.take(ip, user)).toThrow(full);
  });

  it('are given back once', () => {
    const counted = places({ connections: 2 });
    const leave = counted.take('1', 'a');
    counted.take('1', 'a');
    leave();
    leave();
    counted.take('1', 'a');
    expect(() => counted.take('1', 'a')).toThrow(full);
  });

  it('are not taken by who is refused', () => {
    const counted = places({ connectionsPerUser: 1, connections: 2 });
    counted.take('1', 'a');
    for (let n = 0; n < 5; n++) expect(() => counted.take('1', 'a')).toThrow(full);
    counted.take('1', 'b');
  });
});

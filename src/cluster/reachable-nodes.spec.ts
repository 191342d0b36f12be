import { describe, expect, it } from 'vitest';
import { ReachableNodes } from './reachable-nodes.js';

describe(ReachableNodes, () => {
  it('are those with a recent heartbeat; a silent node is reported once', () => {
    const nodes = new ReachableNodes(100);
    expect(nodes.heartbeat('a', true, 0)).toBe(true);
    expect(nodes.heartbeat('b', true, 50)).toBe(true);
    expect(nodes.heartbeat('a', true, 60)).toBe(false);
    expect(nodes.expire(149)).toEqual([]);
    expect(nodes.expire(150)).toEqual(['b']);
    expect(nodes.expire(150)).toEqual([]);
    expect(nodes.responding()).toEqual(['a']);
    expect(nodes.heartbeat('b', true, 151)).toBe(true);
  });

  it('respond if they have connections and have not left', () => {
    const nodes = new ReachableNodes(100);
    nodes.heartbeat('a', true, 0);
    nodes.heartbeat('b', false, 0);
    expect(nodes.responding()).toEqual(['a']);
    nodes.heartbeat('b', true, 1);
    expect(nodes.remove('a')).toBe(true);
    expect(nodes.remove('a')).toBe(false);
    expect(nodes.responding()).toEqual(['b']);
  });
});

import { describe, expect, it } from 'vitest';
import { NodeList } from './node-list.js';

describe(NodeList, () => {
  it('knows whoever has been heard of lately, and names those that fall silent once', () => {
    const roster = new NodeList(100);
    expect(roster.heard('a', true, 0)).toBe(true);
    expect(roster.heard('b', true, 50)).toBe(true);
    expect(roster.heard('a', true, 60)).toBe(false);
    expect(roster.expire(149)).toEqual([]);
    expect(roster.expire(150)).toEqual(['b']);
    expect(roster.expire(150)).toEqual([]);
    expect(roster.answering()).toEqual(['a']);
    expect(roster.heard('b', true, 151)).toBe(true);
  });

  it('asks only those that answer, and nobody who has said good-bye', () => {
    const roster = new NodeList(100);
    roster.heard('a', true, 0);
    roster.heard('b', false, 0);
    expect(roster.answering()).toEqual(['a']);
    roster.heard('b', true, 1);
    expect(roster.remove('a')).toBe(true);
    expect(roster.remove('a')).toBe(false);
    expect(roster.answering()).toEqual(['b']);
  });
});

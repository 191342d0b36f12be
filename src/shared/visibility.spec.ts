import { describe, expect, it } from 'vitest';
import { mayReceive, maySee, owns, reaches } from './visibility.js';

describe('visibility', () => {
  it.each([
    ['an owner', 'ann', { own: true, public: true, foreign: false }],
    ['the operator', null, { own: true, public: true, foreign: true }],
  ])('shows events to %s', (_who, viewer, sees) => {
    expect(reaches(viewer, 'ann')).toBe(sees.own);
    expect(reaches(viewer, null)).toBe(sees.public);
    expect(reaches(viewer, 'bob')).toBe(sees.foreign);
  });

  it('shows the webhooks of the operator to the operator only', () => {
    expect([owns('ann', 'ann'), owns('ann', 'bob'), owns('ann', null)]).toEqual([
      true,
      false,
      false,
    ]);
    expect([owns(null, 'ann'), owns(null, null)]).toEqual([true, true]);
  });

  it('is narrowed by topics', () => {
    const viewer = { ownerId: 'ann', topics: ['trade.*', 'price'] };
    expect(maySee(viewer, { ownerId: 'ann', type: 'trade.done' })).toBe(true);
    expect(maySee(viewer, { ownerId: null, type: 'price' })).toBe(true);
    expect(maySee(viewer, { ownerId: 'ann', type: 'order' })).toBe(false);
    expect(maySee(viewer, { ownerId: 'bob', type: 'price' })).toBe(false);
    expect(mayReceive(viewer, 'trade.a.*')).toBe(true);
    expect(mayReceive(viewer, '*')).toBe(false);
  });

  it('of a viewer with the topic * has no system events, and without topics all', () => {
    const event = { ownerId: 'ann', type: 'client-connected' };
    expect(maySee({ ownerId: 'ann', topics: ['*'] }, event)).toBe(false);
    expect(maySee({ ownerId: 'ann' }, event)).toBe(true);
  });
});

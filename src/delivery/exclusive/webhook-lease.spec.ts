import { describe, expect, it } from 'vitest';
import { WebhookLease } from './webhook-lease.js';
import { RateWindow } from './rate-window.js';

const limit = { max: 2, perMs: 1_000 };
const lane = () => new WebhookLease('wh_1', 10_000, new RateWindow(), 0);

describe(WebhookLease.name, () => {
  it('lets nothing start when its lease has ended, or is lost', () => {
    const one = lane();
    const pass = one.permit(1, 'each');
    expect([pass.mayStart(9_999), pass.mayStart(10_000)]).toEqual([true, false]);
    one.renewed(20_000);
    expect(pass.mayStart(10_000)).toBe(true);
    one.lose();
    expect(pass.mayStart(0)).toBe(false);
  });

  it('stops a run behind the one that failed, and begins a new one when nothing is out', () => {
    const one = lane();
    const pass = one.permit(3, 'run');
    pass.ended(true, 0, 1);
    expect(pass.mayStart(2)).toBe(true);
    pass.ended(false, 2, 3);
    expect([pass.mayStart(4), one.isFlowing]).toEqual([false, false]);
    // Claimed while the failure came in: it belongs to the same run.
    expect(one.permit(1, 'run').mayStart(4)).toBe(false);
    for (let n = 0; n < 4; n++) pass.settled(n < 2);
    expect([one.outstanding, one.isFlowing]).toEqual([0, true]);
    expect(one.permit(1, 'run').mayStart(5)).toBe(true);
  });

  it('tells whether what was read of its line before may lack what has failed since', () => {
    const one = lane();
    const pass = one.permit(2, 'run');
    const { failureCount } = one;
    pass.ended(true, 0, 1);
    expect(one.failureCount).toBe(failureCount);
    pass.ended(false, 1, 2);
    for (let n = 0; n < 2; n++) pass.settled(true);
    // Nothing is out any more, so that only this tells it.
    expect([one.isFlowing, one.failureCount]).toEqual([true, failureCount + 1]);
  });

  it('does not stop deliveries that are independent of each other', () => {
    const pass = lane().permit(2, 'each');
    pass.ended(false, 0, 1);
    expect(pass.mayStart(2)).toBe(true);
  });

  it('has the places of its rate again that were not used', () => {
    const one = lane();
    const pass = one.permit(2, 'each');
    expect(one.window.free(limit, 0)).toBe(0);
    pass.unused(1);
    pass.settled(false);
    expect([one.window.free(limit, 0), one.outstanding]).toEqual([2, 0]);
  });

  it('counts a batch as one request, whatever becomes of its members', () => {
    const one = lane();
    const sent = one.permit(5, 'batch');
    expect(one.window.free(limit, 0)).toBe(1);
    sent.unused(2);
    sent.ended(true, 0, 0);
    for (let n = 0; n < 3; n++) sent.settled(true);
    expect([one.window.free(limit, 0), one.window.free(limit, 1_000)]).toEqual([1, 2]);
    const unsent = one.permit(2, 'batch');
    for (let n = 0; n < 2; n++) unsent.settled(false);
    expect(one.window.free(limit, 1_000)).toBe(2);
  });

  it('knows no more what is out when the outcome of one will never be written', () => {
    const one = lane();
    one.isClear = true;
    one.permit(1, 'run').abandoned(false);
    expect([one.isClear, one.outstanding]).toEqual([false, 0]);
  });
});

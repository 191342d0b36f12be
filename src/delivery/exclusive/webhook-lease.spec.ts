import { describe, expect, it } from 'vitest';
import { WebhookLease } from './webhook-lease.js';
import { RateWindow } from './rate-window.js';

const limit = { max: 2, perMs: 1_000 };
const newLease = () => new WebhookLease('wh_1', 10_000, new RateWindow(), 0);

describe(WebhookLease.name, () => {
  it('lets nothing start when it has ended, or is lost', () => {
    const lease = newLease();
    const permit = lease.permit(1, 'each');
    expect([permit.mayStart(9_999), permit.mayStart(10_000)]).toEqual([true, false]);
    lease.renewed(20_000);
    expect(permit.mayStart(10_000)).toBe(true);
    lease.lose();
    expect(permit.mayStart(0)).toBe(false);
  });

  it('blocks a sequence behind a failure, and begins a new one when nothing is outstanding', () => {
    const lease = newLease();
    const permit = lease.permit(3, 'sequence');
    permit.ended(true, 0, 1);
    expect(permit.mayStart(2)).toBe(true);
    permit.ended(false, 2, 3);
    expect([permit.mayStart(4), lease.isBlocked]).toEqual([false, true]);
    // Claimed while the failure came in: it belongs to the same sequence.
    expect(lease.permit(1, 'sequence').mayStart(4)).toBe(false);
    for (let n = 0; n < 4; n++) permit.settled(n < 2);
    expect([lease.outstanding, lease.isBlocked]).toEqual([0, false]);
    expect(lease.permit(1, 'sequence').mayStart(5)).toBe(true);
  });

  it('counts failures, so that heads that were read before one are known to be outdated', () => {
    const lease = newLease();
    const permit = lease.permit(2, 'sequence');
    const { failureCount } = lease;
    permit.ended(true, 0, 1);
    expect(lease.failureCount).toBe(failureCount);
    permit.ended(false, 1, 2);
    for (let n = 0; n < 2; n++) permit.settled(true);
    // Nothing is outstanding any more, so that only the count shows it.
    expect([lease.isBlocked, lease.failureCount]).toEqual([false, failureCount + 1]);
  });

  it('does not block deliveries that are independent of each other', () => {
    const permit = newLease().permit(2, 'each');
    permit.ended(false, 0, 1);
    expect(permit.mayStart(2)).toBe(true);
  });

  it('frees the capacity of its rate that was not used', () => {
    const lease = newLease();
    const permit = lease.permit(2, 'each');
    expect(lease.window.free(limit, 0)).toBe(0);
    permit.unused(1);
    permit.settled(false);
    expect([lease.window.free(limit, 0), lease.outstanding]).toEqual([2, 0]);
  });

  it('counts a batch as one request, whatever becomes of its members', () => {
    const lease = newLease();
    const sent = lease.permit(5, 'batch');
    expect(lease.window.free(limit, 0)).toBe(1);
    sent.unused(2);
    sent.ended(true, 0, 0);
    for (let n = 0; n < 3; n++) sent.settled(true);
    expect([lease.window.free(limit, 0), lease.window.free(limit, 1_000)]).toEqual([1, 2]);
    const unsent = lease.permit(2, 'batch');
    for (let n = 0; n < 2; n++) unsent.settled(false);
    expect(lease.window.free(limit, 1_000)).toBe(2);
  });

  it('does not own all that is in flight after an outcome that will never be written', () => {
    const lease = newLease();
    lease.ownsAllInFlight = true;
    lease.permit(1, 'sequence').abandoned(false);
    expect([lease.ownsAllInFlight, lease.outstanding]).toEqual([false, 0]);
  });
});

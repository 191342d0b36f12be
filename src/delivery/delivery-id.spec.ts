import { describe, expect, it } from 'vitest';
import { isId, newId, timePart } from '../shared/ids.js';
import { deliveryId } from './delivery-id.js';

describe(deliveryId.name, () => {
  it('is the same for the same event and webhook, and another for any other pair', () => {
    const events = Array.from({ length: 100 }, () => newId('evt'));
    const webhooks = Array.from({ length: 100 }, () => newId('wh'));
    const ids = events.flatMap((event) => webhooks.map((webhook) => deliveryId(event, webhook)));
    const again = events.flatMap((event) => webhooks.map((webhook) => deliveryId(event, webhook)));
    expect(again).toEqual(ids);
    expect(new Set(ids).size).toBe(10_000);
  });

  it('is an id like all others, with the time of its event', () => {
    const event = newId('evt');
    const id = deliveryId(event, newId('wh'));
    expect(isId('dlv', id)).toBe(true);
    expect(timePart(id)).toBe(timePart(event));
  });

  // Written down once: rows and receivers hold ids that were made by this function.
  it('never changes', () => {
    const id = deliveryId('evt_01h455vb4pex5vsknk084sn02q', 'wh_01h455vb4pex5vsknk084sn02q');
    expect(id).toMatchInlineSnapshot(`"dlv_01h455vb4pe8mbp50tjkq0pe25"`);
  });
});

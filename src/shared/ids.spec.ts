import fc from 'fast-check';
import { UUID } from 'uuidv7';
import { describe, expect, it } from 'vitest';
import { encodeSuffix, firstSuffixAt, isId, newId, timeOf, timePart } from './ids.js';

describe('ids', () => {
  // From the test vectors of the TypeID specification.
  it.each([
    ['00000000-0000-0000-0000-000000000000', '00000000000000000000000000'],
    ['00000000-0000-0000-0000-000000000020', '00000000000000000000000010'],
    ['ffffffff-ffff-ffff-ffff-ffffffffffff', '7zzzzzzzzzzzzzzzzzzzzzzzzz'],
    ['0110c853-1d09-52d8-d73e-1194e95b5f19', '0123456789abcdefghjkmnpqrs'],
    ['01890a5d-ac96-774b-bcce-b302099a8057', '01h455vb4pex5vsknk084sn02q'],
  ])('writes %s as %s', (uuid, suffix) => {
    expect(encodeSuffix(UUID.parse(uuid).bytes)).toBe(suffix);
  });

  it('makes ids that grow and hold their own time', () => {
    const before = Date.now();
    const ids = Array.from({ length: 10_000 }, () => newId('evt'));
    expect(ids).toEqual([...new Set(ids)].sort());
    expect(ids.every((id) => isId('evt', id))).toBe(true);
    expect(timeOf(ids[0]!)).toBeGreaterThanOrEqual(before);
  });

  it('finds the first suffix of any millisecond', () => {
    fc.assert(
      fc.property(fc.nat(2 ** 47), (ms) => {
        const id = `evt_${firstSuffixAt(ms)}`;
        return timeOf(id) === ms && id.endsWith('0'.repeat(16)) && timePart(id).length === 10;
      }),
    );
  });

  it.each([
    '',
    'evt_',
    'wh_01h455vb4pex5vsknk084sn02q',
    'evt_01h455vb4pex5vsknk084sn02',
    'evt_81h455vb4pex5vsknk084sn02q',
    'evt_01H455VB4PEX5VSKNK084SN02Q',
    "evt_' OR 1=1 --aaaaaaaaaaaaa",
    'evt_01h455vb4pex5vsknk084sn02\u0000',
  ])('does not take %j for the id of an event', (value) => expect(isId('evt', value)).toBe(false));
});

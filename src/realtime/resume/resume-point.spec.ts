import { describe, expect, it } from 'vitest';
import { firstSuffixAt, newId, timeOf } from '../../shared/ids.js';
import {
  beginningFor,
  firstSnapshot,
  isMissed,
  type ResumePoint,
  lowestIdFor,
  reorderWindowStart,
  Snapshot,
} from './resume-point.js';

const DAY_MS = 86_400_000;

const resumePoint = (snapshot: string, tx = '100', id = newId('evt')): ResumePoint => ({
  audience: { ownerId: null, type: 'a.b', subject: null },
  position: { tx, id },
  publishedBy: 1,
  snapshot: new Snapshot(snapshot, BigInt(tx)),
  reorderFromId: reorderWindowStart(id),
  reorderableTx: undefined,
});

describe(Snapshot.name, () => {
  it('sees what had ended: all before the oldest, and those between that were not running', () => {
    const snapshot = new Snapshot('90:100:90,95', 100n);
    const seen = [89n, 90n, 91n, 95n, 99n, 100n, 101n].filter((tx) => snapshot.sees(tx));
    expect(seen).toEqual([89n, 91n, 99n]);
    expect(snapshot.horizon).toBe(90n);
  });

  it('sees everything before its end when nothing was running', () => {
    const snapshot = new Snapshot('9007199254740993:9007199254740993:', 9_007_199_254_740_993n);
    expect(snapshot.sees(9_007_199_254_740_992n)).toBe(true);
    expect(snapshot.sees(9_007_199_254_740_993n)).toBe(false);
  });

  it('does not see the transaction that it belongs to', () => {
    const snapshot = new Snapshot('90:100:95', 90n);
    expect([90n, 91n, 95n].map((tx) => snapshot.sees(tx))).toEqual([false, true, false]);
    expect(snapshot.text).toBe('90:100:90,95');
  });

  it('is before another one of which it has seen less', () => {
    const inOrder = ['90:91:90', '90:95:90', '95:95:', '95:96:'].map(
      (text) => new Snapshot(text, 200n),
    );
    for (const [at, snapshot] of inOrder.entries()) {
      for (const later of inOrder.slice(at + 1)) {
        expect(later.isBefore(snapshot)).toBe(false);
      }
    }
    expect(inOrder[0]!.isBefore(inOrder[1]!)).toBe(true);
  });
});

describe('a client that has received an event', () => {
  it('has missed what it could not see, and what came after it in its own transaction', () => {
    const seen = resumePoint('90:100:90', '100', 'evt_5');
    expect(isMissed(seen, { tx: '90', id: 'evt_1', publishedBy: 1 })).toBe(true);
    expect(isMissed(seen, { tx: '91', id: 'evt_9', publishedBy: 1 })).toBe(false);
    expect(isMissed(seen, { tx: '100', id: 'evt_4', publishedBy: 1 })).toBe(false);
    expect(isMissed(seen, { tx: '100', id: 'evt_5', publishedBy: 1 })).toBe(false);
    expect(isMissed(seen, { tx: '100', id: 'evt_6', publishedBy: 1 })).toBe(true);
    expect(isMissed(seen, { tx: '101', id: 'evt_1', publishedBy: 1 })).toBe(true);
  });

  it('may have missed what another node, or a caller, has published in the seconds before', () => {
    const seen = resumePoint('120:120:', '120');
    const now = timeOf(seen.position.id);
    const at = (ms: number, publishedBy: number | null, tx = '110') => ({
      tx,
      id: `evt_${firstSuffixAt(now - ms)}`,
      publishedBy,
    });
    expect([1, 2, null].map((publishedBy) => isMissed(seen, at(4_000, publishedBy)))).toEqual([
      false,
      true,
      true,
    ]);
    expect([1, 2, null].some((publishedBy) => isMissed(seen, at(6_000, publishedBy)))).toBe(false);
    expect(beginningFor({ ...seen, reorderableTx: 110n })).toEqual({ tx: '96', id: '' });
  });

  it('may have missed any other event of a transaction of a caller, which is sent in no order', () => {
    const seen = { ...resumePoint('120:120:', '120', 'evt_5'), publishedBy: null };
    const missed = ['evt_4', 'evt_5', 'evt_6'].filter((id) =>
      isMissed(seen, { tx: '120', id, publishedBy: null }),
    );
    expect(missed).toEqual(['evt_4', 'evt_6']);
  });

  it('begins to read at the oldest event that it can have missed or shortly before', () => {
    expect(beginningFor(resumePoint('96:120:'))).toEqual({ tx: '96', id: '' });
    expect(beginningFor(resumePoint('111:120:'))).toEqual({ tx: '96', id: '' });
    expect(beginningFor(resumePoint('112:120:'))).toEqual({ tx: '112', id: '' });
  });

  it('looks back a day from the id, and not much more', () => {
    const seen = resumePoint('90:100:');
    const backMs = timeOf(seen.position.id) - timeOf(lowestIdFor(seen));
    expect(backMs).toBeGreaterThanOrEqual(DAY_MS);
    expect(backMs).toBeLessThan(DAY_MS + 3_600_000);
  });

  it('is sent nothing that the first of a crowd had received already', () => {
    const crowd = [resumePoint('95:96:'), resumePoint('90:95:90'), resumePoint('90:96:90')];
    expect(firstSnapshot(crowd).text).toBe('90:95:90');
  });
});

import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, describe, inject, it } from 'vitest';
import { AFTER_LEASE } from './nemesis/fault.js';
import { onASite, plan } from './on-a-site.js';
import { SmallDisk } from './site/small-disk.js';

const FULL_MS = 4_000;

describe.runIf(plan.isFull)('nothing is lost, with an API and two workers, through', () => {
  const disk = plan.isFull ? SmallDisk.make(inject('faultDirectory')) : undefined;
  if (!disk) {
    it.skip('PostgreSQL: disk full (needs root, to mount a disk that may be full)');
    return;
  }
  afterAll(() => disk.remove());
  onASite(
    'split',
    [
      {
        name: 'PostgreSQL: disk full',
        target: 'postgres',
        budget: AFTER_LEASE,
        async inflict() {
          await disk.fill();
          await delay(FULL_MS);
          await disk.free();
        },
      },
    ],
    { dataDisk: disk.path },
  );
});

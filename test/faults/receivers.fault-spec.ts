import { describe } from 'vitest';
import { hostileReceivers } from './nemesis/receiver-faults.js';
import { onASite, plan } from './on-a-site.js';

describe.runIf(plan.isFull)('nothing is lost, with an API and two workers, through', () => {
  onASite('split', hostileReceivers);
});

import { describe, inject } from 'vitest';
import { deliveryFaults } from './nemesis/delivery-faults.js';
import { processFaults } from './nemesis/process-faults.js';
import { Random } from './nemesis/random.js';
import { receiverFaults } from './nemesis/receiver-faults.js';
import { pairsOf, randomWalk } from './nemesis/sequences.js';
import { postgresFaults, redisFaults } from './nemesis/store-faults.js';
import { onASite, plan } from './on-a-site.js';

const PAIRS = 8;

const faults = [
  ...processFaults,
  ...deliveryFaults,
  ...redisFaults,
  ...postgresFaults,
  ...receiverFaults,
];

describe.runIf(plan.isFull)('nothing is lost, with an API and two workers, through', () => {
  onASite(
    'split',
    [...pairsOf(faults, PAIRS, new Random(inject('faultSeed'))), randomWalk(faults, plan.walkMs)],
    { walkMs: plan.walkMs },
  );
});

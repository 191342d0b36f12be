import { describe } from 'vitest';
import { crashesBesideSlow, deliveryFaults } from './nemesis/delivery-faults.js';
import { killsAtEachStep, processFaults, rollingRestart } from './nemesis/process-faults.js';
import { receiverFaults } from './nemesis/receiver-faults.js';
import { onASite, plan } from './on-a-site.js';

describe('nothing is lost, with an API and two workers, through', () => {
  onASite(
    'split',
    plan.isFull
      ? [...processFaults, ...deliveryFaults, crashesBesideSlow]
      : [killsAtEachStep, rollingRestart],
  );
});

if (plan.isFull) {
  describe('nothing is lost, with two processes that do everything, through', () => {
    onASite('whole', [...processFaults, ...deliveryFaults, ...receiverFaults]);
  });
}

import { describe } from 'vitest';
import { receiverFaults } from './nemesis/receiver-faults.js';
import { postgresFaults, redisFaults } from './nemesis/store-faults.js';
import { chosen, onASite } from './on-a-site.js';

describe('nothing is lost, with an API and two workers, through', () => {
  onASite('split', chosen([...redisFaults, ...postgresFaults, ...receiverFaults]));
});

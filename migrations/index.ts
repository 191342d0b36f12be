import { Baseline1790000000000 } from './1790000000000-baseline.js';

/** In order; named one by one so that dist, tests and the command line load the same classes. */
export const migrations = [Baseline1790000000000];

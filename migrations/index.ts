import { CreateSchema1790000000000 } from './1790000000000-create-schema.js';

/** In order; named one by one so that dist, tests and the command line load the same classes. */
export const migrations = [CreateSchema1790000000000];

import { CreateSchema1790000000000 } from './1790000000000-create-schema.js';
import { PartitionTheLog1790000001000 } from './1790000001000-partition-the-log.js';

/** In order; named one by one so that dist, tests and the command line load the same classes. */
export const migrations = [CreateSchema1790000000000, PartitionTheLog1790000001000];

import { CreateSchema1790000000000 } from './1790000000000-create-schema.js';
import { PartitionTheLog1790000001000 } from './1790000001000-partition-the-log.js';
import { Circuits1790000002000 } from './1790000002000-circuits.js';
import { Lanes1790000003000 } from './1790000003000-lanes.js';
import { BulkOperations1790000004000 } from './1790000004000-bulk-operations.js';
import { RealtimeConnections1790000005000 } from './1790000005000-realtime-connections.js';
import { EventTypes1790000006000 } from './1790000006000-event-types.js';
import { ToldBy1790000007000 } from './1790000007000-told-by.js';
import { DeliveryPriority1790000008000 } from './1790000008000-delivery-priority.js';
import { Endings1790000009000 } from './1790000009000-endings.js';

/** In order; named one by one so that dist, tests and the command line load the same classes. */
export const migrations = [
  CreateSchema1790000000000,
  PartitionTheLog1790000001000,
  Circuits1790000002000,
  Lanes1790000003000,
  BulkOperations1790000004000,
  RealtimeConnections1790000005000,
  EventTypes1790000006000,
  ToldBy1790000007000,
  DeliveryPriority1790000008000,
  Endings1790000009000,
];

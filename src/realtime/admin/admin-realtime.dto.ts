import { z } from 'zod';
import { PageQuery, pageOf } from '../../shared/pagination.js';
import { exampleId, idOf, ownerFilter, ownerId, timestamp } from '../../shared/zod-fields.js';
import { TRANSPORTS } from '../connections/realtime.connection.js';
import { messageContent } from '../protocol.js';
import { topicSchema } from '../topic.js';

const OWNER_EXAMPLE = 'acme';

export const ConnectionsQuery = PageQuery.extend({
  ...ownerFilter,
  transport: z.enum(TRANSPORTS).optional().describe('Only connections of this kind.'),
});
export type ConnectionsQuery = z.output<typeof ConnectionsQuery>;

export const ConnectionResponse = z
  .object({
    id: z.string().describe('`con_…`, as in the client’s `connected`.'),
    ownerId: z.string().describe('The owner that its credential speaks for.'),
    userId: z.string().describe('The user that its credential speaks for.'),
    clientId: z.string().nullable().describe('The name that the client gave itself.'),
    address: z.string().describe('Where the client connects from.'),
    transport: z.enum(TRANSPORTS).describe('How it is connected.'),
    connectedAt: timestamp.describe('Since when.'),
  })
  .meta({
    id: 'Connection',
    examples: [
      {
        id: exampleId('con'),
        ownerId: OWNER_EXAMPLE,
        userId: 'alice',
        clientId: null,
        address: '203.0.113.7',
        transport: 'websocket',
        connectedAt: '2026-01-31T12:00:00.000Z',
      },
    ],
  });
export type ConnectionResponse = z.output<typeof ConnectionResponse>;

export const ConnectionPage = pageOf(ConnectionResponse).meta({ id: 'ConnectionPage' });

export const AdminBroadcast = z
  .strictObject({
    message: messageContent.meta({
      description: 'Any JSON value of at most 64 KiB; clients get it in a `message` notice.',
      examples: [{ text: 'Maintenance at 18:00 UTC.' }],
    }),
    ownerId: ownerId
      .optional()
      .describe('Only to connections of this owner.')
      .meta({ examples: [OWNER_EXAMPLE] }),
    topic: topicSchema
      .optional()
      .describe('Only to connections that have subscribed to exactly this topic.')
      .meta({ examples: [{ type: 'trade.*' }] }),
    connectionId: idOf('con')
      .optional()
      .describe('Only to this connection; excludes `ownerId`, `topic` and `except`.'),
    except: idOf('con')
      .optional()
      .describe('Not to this connection, such as that of the user whose action it reports.'),
  })
  .superRefine(({ connectionId, ownerId: owner, topic, except }, context) => {
    if (connectionId === undefined) return;
    if (owner === undefined && topic === undefined && except === undefined) return;
    const message = 'excludes ownerId, topic and except';
    context.addIssue({ code: 'custom', path: ['connectionId'], message });
  })
  .meta({
    id: 'AdminBroadcast',
    examples: [{ message: { text: 'Maintenance at 18:00 UTC.' } }],
  });
export type AdminBroadcast = z.output<typeof AdminBroadcast>;

export const BroadcastResponse = z
  .object({
    delivered: z.int().describe('Connections that it was sent to, in all processes that answered.'),
    complete: z
      .boolean()
      .describe('False: some process did not say in time how many it has reached.'),
  })
  .meta({ id: 'BroadcastResult', examples: [{ delivered: 12, complete: true }] });
export type BroadcastResponse = z.output<typeof BroadcastResponse>;

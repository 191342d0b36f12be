import { readdirSync } from 'node:fs';

/**
 * The direction of imports:
 * `events -> delivery -> {webhooks, realtime, outbound} -> {auth, database, http, config, shared}`.
 * Root files of src/ and src/startup wire everything together, so they may import all of it.
 */
const MAY_IMPORT = {
  shared: [],
  config: ['shared'],
  database: ['config', 'shared'],
  // A start convenience, not storage: src/startup starts it before there is an application.
  'embedded-postgres': ['shared'],
  redis: ['config', 'shared'],
  cluster: ['redis', 'database', 'config', 'shared'],
  // The edge of every request: what an error looks like, and how input is checked.
  http: ['database', 'config', 'shared'],
  auth: ['http', 'database', 'config', 'shared'],
  audit: ['http', 'database', 'auth', 'config', 'shared'],
  outbound: ['config', 'shared'],
  'system-events': ['shared'],
  retention: ['database', 'config', 'shared'],
  'event-types': ['system-events', 'http', 'database', 'auth', 'config', 'shared'],
  webhooks: ['event-types', 'outbound', 'http', 'database', 'auth', 'config', 'shared'],
  realtime: [
    'event-types',
    'system-events',
    'cluster',
    'http',
    'auth',
    'database',
    'config',
    'shared',
  ],
  delivery: [
    'webhooks',
    'realtime',
    'outbound',
    'system-events',
    'cluster',
    'redis',
    'http',
    'database',
    'auth',
    'config',
    'shared',
  ],
  events: [
    'event-types',
    'delivery',
    'webhooks',
    'realtime',
    'system-events',
    'http',
    'database',
    'auth',
    'config',
    'shared',
  ],
  // Documents the live connections.
  asyncapi: ['realtime', 'event-types', 'http', 'auth', 'config', 'shared'],
  health: ['delivery', 'realtime', 'cluster', 'http', 'database', 'auth', 'config', 'shared'],
  'request-bin': ['webhooks', 'outbound', 'http', 'database', 'auth', 'config', 'shared'],
};
/**
 * The same within src/delivery, type-only imports included:
 * `api -> bulk`, `handover -> claims -> sending -> {circuit, exclusive}`,
 * `deferred -> {claims, sending, exclusive, circuit}`; `leases` and `signals` are at the bottom.
 * An entry may name one file of a folder.
 */
const MAY_IMPORT_IN_DELIVERY = {
  leases: [],
  // Of sending, only what the signals carry: the type of a task.
  signals: ['sending/task.ts'],
  circuit: ['leases', 'signals'],
  exclusive: ['leases', 'signals'],
  sending: ['circuit', 'exclusive', 'leases', 'signals'],
  claims: ['sending', 'leases', 'signals'],
  handover: ['claims', 'sending', 'leases', 'signals'],
  deferred: ['claims', 'sending', 'exclusive', 'circuit', 'leases', 'signals'],
  bulk: ['signals'],
  api: ['bulk', 'circuit', 'sending', 'signals'],
};
const COMPOSITION = '^src/([^/]+|startup/.+)$';

/**
 * @param {string} parent
 * @param {Record<string, string[]>} table
 * @param {string[]} besides folders that need no entry
 * @throws when another folder of `parent` has none
 */
const checkComplete = (parent, table, besides = []) => {
  const unknown = readdirSync(parent, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && !besides.includes(entry.name))
    .find((entry) => !(entry.name in table));
  if (unknown) throw new Error(`Say in .dependency-cruiser.mjs what ${unknown.name} may import.`);
};
checkComplete('src', MAY_IMPORT, ['startup']);
checkComplete('src/delivery', MAY_IMPORT_IN_DELIVERY);

const directions = Object.entries(MAY_IMPORT).map(([folder, others]) => ({
  name: `direction-${folder}`,
  comment: `src/${folder} may import ${others.map((other) => `src/${other}`).join(', ') || 'libraries'} only.`,
  severity: 'error',
  from: { path: `^src/${folder}/`, pathNot: '\\.spec\\.ts$' },
  to: { path: '^src/', pathNot: `^src/(${[folder, ...others].join('|')})/` },
}));

const directionsInDelivery = Object.entries(MAY_IMPORT_IN_DELIVERY).map(([folder, others]) => ({
  name: `direction-delivery-${folder}`,
  comment: `src/delivery/${folder} may import ${others.join(', ') || 'none'} of src/delivery only.`,
  severity: 'error',
  from: { path: `^src/delivery/${folder}/`, pathNot: '\\.spec\\.ts$' },
  to: {
    path: '^src/delivery/([^/]+/|delivery\\.module|delivery-lifecycle)',
    pathNot: `^src/delivery/(${[folder, ...others].join('|')})(/|$)`,
  },
}));

/**
 * The same inside src/realtime: `transports -> messages, presence, subscriptions -> connections ->
 * fanout -> protocol`. Type imports count, too. Root files that describe the protocol import no folder.
 */
const PROTOCOL =
  '^src/realtime/(protocol|topic|limits|close-codes|resume-after|message-frame|subscribed-topic)\\.ts$';
const REALTIME_MAY_IMPORT = {
  fanout: [],
  connections: ['fanout'],
  subscriptions: ['connections', 'fanout'],
  messages: ['subscriptions', 'connections', 'lifecycle', 'fanout'],
  lifecycle: ['connections'],
  presence: ['subscriptions', 'connections'],
  resume: ['fanout', 'subscriptions', 'connections', 'lifecycle'],
  admin: ['lifecycle', 'messages', 'connections'],
  transports: ['messages', 'presence', 'resume', 'subscriptions', 'connections', 'fanout'],
};
const realtimeDirections = Object.entries(REALTIME_MAY_IMPORT).map(([folder, others]) => ({
  name: `direction-realtime-${folder}`,
  comment: `src/realtime/${folder} may import the protocol and ${others.join(', ') || 'no other folder'}.`,
  severity: 'error',
  from: { path: `^src/realtime/${folder}/`, pathNot: '\\.spec\\.ts$' },
  to: {
    path: '^src/realtime/',
    pathNot: `^src/realtime/(${[folder, ...others].join('|')})/|${PROTOCOL}`,
  },
}));

/** A file with a role suffix may use Nest and I/O; a file without one is pure. */
const SUFFIXED = '\\.[a-z-]+\\.ts$';
/** Not pure although without a suffix: they run before anything can be injected. */
const BOOTSTRAP = `${COMPOSITION}|^src/config/`;
const IMPURE = [
  '^node_modules/(@nestjs|@types/passport|bull|fastify|ioredis|jwks-rsa|passport|pg|socket\\.io|typeorm|undici|ws)(/|$)',
  // node:net is allowed for isIP and BlockList, which do no I/O.
  '^(node:)?(child_process|cluster|dgram|dns|fs|http|http2|https|tls|worker_threads)(/|$)',
].join('|');

/** A library that can be replaced is imported in one place only. */
const confined = (name, library, where, why) => ({
  name: `only-${name}`,
  comment: `${library}: only in ${where}. ${why}`,
  severity: 'error',
  from: { path: '^src/', pathNot: `${where}|\\.spec\\.ts$` },
  to: { path: `^node_modules/${library}(/|$)` },
});

/** @type {import('dependency-cruiser').IConfiguration} */
export default {
  forbidden: [
    ...directions,
    ...directionsInDelivery,
    ...realtimeDirections,
    {
      name: 'direction-realtime-protocol',
      comment: 'The protocol is the same for all transports, and knows no connection.',
      severity: 'error',
      from: { path: PROTOCOL },
      to: { path: '^src/realtime/', pathNot: PROTOCOL },
    },
    {
      name: 'no-type-cycle-in-realtime',
      comment: 'Not even for types: the one that is needed by the other stands alone.',
      severity: 'error',
      from: {
        path: `^src/realtime/(${Object.keys(REALTIME_MAY_IMPORT).join('|')})/|${PROTOCOL}`,
        pathNot: '\\.spec\\.ts$',
      },
      to: { circular: true },
    },
    {
      name: 'composition-is-not-imported',
      comment: 'main, app.* and src/startup import the others, and no file imports them.',
      severity: 'error',
      from: { path: '^src/', pathNot: COMPOSITION },
      to: { path: COMPOSITION },
    },
    {
      name: 'pure-without-suffix',
      comment:
        'A file without a role suffix (.service, .store, .client, ...) is pure: no Nest, no store, ' +
        'no socket, no file. Give it its suffix, or take what it needs as a parameter.',
      severity: 'error',
      from: { path: '^src/', pathNot: `${SUFFIXED}|${BOOTSTRAP}` },
      to: { path: IMPURE, dependencyTypesNot: ['type-only'] },
    },
    confined(
      'bull',
      '(@nestjs/)?bull',
      '^src/delivery/',
      'The queue is a port: another library would replace these files only.',
    ),
    confined(
      'socket-io',
      '(socket\\.io|@nestjs/(websockets|platform-socket\\.io))',
      '^src/realtime/',
      'Other folders send to sockets through RealtimePublisher.',
    ),
    confined(
      'ws',
      'ws',
      '^src/realtime/',
      'Other folders send to clients through RealtimePublisher.',
    ),
    confined(
      'ioredis',
      'ioredis',
      '^src/redis/',
      'Every connection needs the bounds and listeners of RedisClient.',
    ),
    confined(
      'undici',
      'undici',
      '^src/outbound/[^/]+$',
      'Every request must pass the address check.',
    ),
    confined('pg', 'pg', '^src/database/', 'Others use PostgresClient or TypeORM.'),
    confined(
      'typeorm',
      '(@nestjs/)?typeorm',
      '^src/(database|auth|webhooks|delivery|events|event-types)/',
      'HTTP and sockets do not access tables.',
    ),
    {
      name: 'statements-in-stores-only',
      comment: 'SQL is in *.store.ts and *.statements.ts: other files call a store.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/database/|\\.(store|statements|spec)\\.ts$' },
      to: { path: '^src/database/postgres\\.client\\.ts$' },
    },
    {
      name: 'http1-used-by-outbound-only',
      comment: 'Requests go through OutboundHttpClient, which checks addresses and timeouts.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/outbound/' },
      to: { path: '^src/outbound/http1/' },
    },
    {
      name: 'http1-is-independent',
      comment: 'The HTTP/1.1 client can be read, tested and replaced without the rest of outbound.',
      severity: 'error',
      from: { path: '^src/outbound/http1/', pathNot: '\\.spec\\.ts$' },
      to: {
        path: '^src/outbound/',
        pathNot: '^src/outbound/(http1/|(attempt-result|failure-reason|tls-settings)\\.ts$)',
      },
    },
    {
      name: 'no-cycle',
      comment: 'Two files that import each other should be one file, or share a third one.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'no-test-code-in-the-product',
      severity: 'error',
      from: { path: '^(src|migrations|[^/]+\\.ts$)', pathNot: '\\.spec\\.ts$|^vitest\\.config' },
      to: { path: '^(test|bench)/|\\.(int-|e2e-)?spec\\.ts$|^node_modules/(vitest|fast-check)/' },
    },
    {
      name: 'no-dev-dependency-in-the-product',
      severity: 'error',
      from: { path: '^(src|migrations|(main|ormconfig)\\.ts$)', pathNot: '\\.spec\\.ts$' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'], pathNot: '/@types/' },
    },
    {
      name: 'migrations-import-nothing',
      comment: 'A migration must not change when the code changes later.',
      severity: 'error',
      from: { path: '^migrations/' },
      to: { path: '^src/' },
    },
    {
      name: 'not-to-unresolvable',
      severity: 'error',
      from: {},
      to: { couldNotResolve: true },
    },
    {
      name: 'no-orphans',
      comment: 'No file imports it, and it imports none.',
      severity: 'error',
      from: { orphan: true, path: '^src/' },
      to: {},
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|coverage)/' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};

import { readdirSync } from 'node:fs';

/**
 * Who may import whom. One direction:
 * `events -> delivery -> {webhooks, realtime, outbound} -> {auth, database, http, config, shared}`.
 * Root files of src/ and src/startup wire everything together, so they may import all of it.
 */
const MAY_IMPORT = {
  shared: [],
  config: ['shared'],
  database: ['config', 'shared'],
  // A start convenience, not storage: main.ts starts it before there is an application.
  'embedded-postgres': ['shared'],
  cluster: ['database', 'config', 'shared'],
  // The edge of every request: what an error looks like, and how input is checked.
  http: ['database', 'config', 'shared'],
  auth: ['http', 'database', 'config', 'shared'],
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
  // Describes what the others do.
  asyncapi: ['realtime', 'event-types', 'http', 'auth', 'config', 'shared'],
  health: ['delivery', 'realtime', 'http', 'database', 'auth', 'config', 'shared'],
  'request-bin': ['webhooks', 'outbound', 'http', 'database', 'auth', 'config', 'shared'],
};
const COMPOSITION = '^src/([^/]+|startup/.+)$';

const unknown = readdirSync('src', { withFileTypes: true })
  .filter((entry) => entry.isDirectory() && entry.name !== 'startup')
  .filter((entry) => !(entry.name in MAY_IMPORT))
  .map((entry) => entry.name);
if (unknown.length > 0) throw new Error(`Say in MAY_IMPORT what src/${unknown[0]} may import.`);

const directions = Object.entries(MAY_IMPORT).map(([folder, others]) => ({
  name: `direction-${folder}`,
  comment: `src/${folder} may import ${others.map((other) => `src/${other}`).join(', ') || 'libraries'} only.`,
  severity: 'error',
  from: { path: `^src/${folder}/`, pathNot: '\\.spec\\.ts$' },
  to: { path: '^src/', pathNot: `^src/(${[folder, ...others].join('|')})/` },
}));

/**
 * The same for folders of src/realtime, type imports included. Files beside the folders (limits, close
 * codes, frames of the protocol) may be imported by all.
 */
const REALTIME_MAY_IMPORT = {
  fanout: ['subscriptions', 'connections'],
  lifecycle: ['connections'],
  presence: ['subscriptions', 'connections'],
  resume: ['fanout', 'subscriptions', 'connections', 'lifecycle'],
};
const realtimeDirections = Object.entries(REALTIME_MAY_IMPORT).map(([folder, others]) => ({
  name: `direction-realtime-${folder}`,
  comment: `src/realtime/${folder} may import ${others.join(', ')} of src/realtime only.`,
  severity: 'error',
  from: { path: `^src/realtime/${folder}/`, pathNot: '\\.spec\\.ts$' },
  to: {
    path: '^src/realtime/([^/]+/|realtime\\.module)',
    pathNot: `^src/realtime/(${[folder, ...others].join('|')})/`,
  },
}));

/** The suffix says that a file touches Nest or the outside world; a file without one is pure. */
const SUFFIXED = '\\.[a-z-]+\\.ts$';
/** Pure by name, impure by nature: they run before there is anything to inject. */
const BOOTSTRAP = `${COMPOSITION}|^src/config/`;
const IMPURE = [
  '^node_modules/(@nestjs|@types/passport|bull|fastify|ioredis|jwks-rsa|passport|pg|socket\\.io|typeorm|undici|ws)(/|$)',
  // node:net is allowed for isIP and BlockList, which touch nothing.
  '^(node:)?(child_process|cluster|dgram|dns|fs|http|http2|https|tls|worker_threads)(/|$)',
].join('|');

/** A library that stands for a decision is imported where the decision was made, and nowhere else. */
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
    ...realtimeDirections,
    {
      name: 'nobody-imports-the-composition',
      comment: 'main, app.* and src/startup are where the imports end.',
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
      'The queue is a port: its successor replaces these files and no others.',
    ),
    confined(
      'socket-io',
      '(socket\\.io|@nestjs/(websockets|platform-socket\\.io))',
      '^src/realtime/',
      'Others speak to sockets through RealtimePublisher.',
    ),
    confined('ws', 'ws', '^src/realtime/', 'Others speak to clients through RealtimePublisher.'),
    confined('ioredis', 'ioredis', '^src/cluster/.+\\.client\\.ts$', 'One connection, one owner.'),
    confined(
      'undici',
      'undici',
      '^src/outbound/[^/]+$',
      'Every request leaves through the address check.',
    ),
    confined('pg', 'pg', '^src/database/', 'Everybody else asks PostgresClient or TypeORM.'),
    confined(
      'typeorm',
      '(@nestjs/)?typeorm',
      '^src/(database|auth|webhooks|delivery|events|event-types)/',
      'The edges and the sockets know no tables.',
    ),
    {
      name: 'http1-used-by-outbound-only',
      comment: 'Requests leave through OutboundHttpClient, which checks addresses and deadlines.',
      severity: 'error',
      from: { path: '^src/', pathNot: '^src/outbound/' },
      to: { path: '^src/outbound/http1/' },
    },
    {
      name: 'http1-stands-alone',
      comment: 'Our HTTP/1.1 client can be read, proven and replaced without the rest of outbound.',
      severity: 'error',
      from: { path: '^src/outbound/http1/', pathNot: '\\.spec\\.ts$' },
      to: { path: '^src/outbound/', pathNot: '^src/outbound/(http1/|attempt-result\\.ts$)' },
    },
    {
      name: 'no-cycle',
      comment: 'Two files that need each other are one file, or hide a third.',
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
      name: 'migrations-stand-alone',
      comment: 'A migration describes one moment; code that changes later would change it.',
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
      comment: 'Nobody imports it, and it imports nobody.',
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

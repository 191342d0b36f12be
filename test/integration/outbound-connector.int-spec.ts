import type { LookupAddress } from 'node:dns';
import { createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type AddressPolicy, compileAddressPolicy } from '../../src/outbound/address-policy.js';
import { BlockedAddressError, ConnectionError } from '../../src/outbound/connect-errors.js';
import { GuardedConnector, type Resolve } from '../../src/outbound/guarded-connector.client.js';

const LOOPBACK = compileAddressPolicy(['127.0.0.0/8']);
const STRICT = compileAddressPolicy([]);

let server: Server;
let port: string;
let accepted: { socket: Socket; bytes: number }[];
let connectors: GuardedConnector[];

beforeEach(async () => {
  accepted = [];
  connectors = [];
  server = createServer((socket) => {
    const connection = { socket, bytes: 0 };
    accepted.push(connection);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => (connection.bytes += chunk.length));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  port = String((server.address() as { port: number }).port);
});

afterEach(async () => {
  connectors.forEach((connector) => connector.close());
  accepted.forEach(({ socket }) => socket.destroy());
  await new Promise((resolve) => server.close(resolve));
});

interface Target {
  hostname?: string;
  protocol?: string;
}

/** Resolves to the error, or to the open socket. */
function open(
  connector: GuardedConnector,
  { hostname = 'hook.example', protocol = 'http:' }: Target,
) {
  connectors.push(connector);
  return new Promise<Error | Socket>((resolve) => {
    const target = { hostname, host: `${hostname}:${port}`, protocol, port };
    const opener = { ownerKey: '', setQueued: () => undefined };
    connector.open(target, opener, (error, socket) => resolve(error ?? socket));
  });
}

/** A resolver with prepared answers; the only double in these tests. */
function answering(...answers: string[][]): Resolve & { asked: string[] } {
  const asked: string[] = [];
  const resolve: Resolve = (hostname, _opener, callback) => {
    const addresses = answers[Math.min(asked.push(hostname), answers.length) - 1]!;
    setImmediate(callback, null, addresses.map(lookupAddress));
  };
  return Object.assign(resolve, { asked });
}

const lookupAddress = (address: string): LookupAddress => ({
  address,
  family: address.includes(':') ? 6 : 4,
});

const guarded = (policy: AddressPolicy, resolve: Resolve, trusted: string[] = []) =>
  new GuardedConnector({ policy, resolve, trustedOrigins: new Set(trusted) });

describe(GuardedConnector.name, () => {
  it('connects to a name whose addresses are all allowed', async () => {
    const resolve = answering(['127.0.0.1']);
    expect(await open(guarded(LOOPBACK, resolve), {})).toHaveProperty('remoteAddress', '127.0.0.1');
    expect(resolve.asked).toEqual(['hook.example']);
  });

  it.each([
    ['loopback', ['127.0.0.1']],
    ['loopback, mapped', ['::ffff:127.0.0.1']],
    ['a zone', ['fe80::1%lo']],
    ['private addresses only', ['10.0.0.1', 'fd00::1', '64:ff9b::a00:1']],
    ['something that is no address', ['localhost']],
  ])('refuses a name that resolves to %s', async (_name, addresses) => {
    const error = await open(guarded(STRICT, answering(addresses)), {});
    expect(error).toBeInstanceOf(BlockedAddressError);
    expect(accepted).toHaveLength(0);
  });

  it.each([
    [['10.0.0.1', '127.0.0.1', 'fd00::1']],
    [['169.254.169.254', '127.0.0.1']],
    [['127.0.0.1', 'localhost']],
  ])('uses of the addresses %j those that are allowed', async (addresses) => {
    const socket = await open(guarded(LOOPBACK, answering(addresses)), {});
    expect(socket).toHaveProperty('remoteAddress', '127.0.0.1');
  });

  it('shows a refused name to its owner as one that does not exist', async () => {
    const [refused, absent] = [
      (await open(guarded(STRICT, answering(['10.0.0.1'])), {})) as BlockedAddressError,
      (await open(guarded(STRICT, answering([])), {})) as ConnectionError,
    ];
    const { detail: forOperators, ...shown } = refused.failure;
    const { detail: _, ...expected } = absent.failure;
    expect(shown).toEqual(expected);
    expect(shown).toEqual({ error: 'dns', message: expect.stringContaining('hook.example') });
    expect(forOperators).toContain('10.0.0.1');
    const literal = await open(guarded(STRICT, answering([])), { hostname: '10.0.0.1' });
    expect(literal).toMatchObject({ failure: { error: 'blocked' } });
  });

  it('refuses a port that is not allowed, but for a trusted origin', async () => {
    const options = { policy: LOOPBACK, resolve: answering(['127.0.0.1']), ports: [443] };
    const connector = new GuardedConnector({ ...options, trustedOrigins: new Set() });
    expect(await open(connector, {})).toMatchObject({
      failure: { error: 'blocked', message: expect.stringContaining('443') },
    });
    expect(accepted).toHaveLength(0);
    const trustedOrigins = new Set([`http://hook.example:${port}`]);
    const trusting = new GuardedConnector({ ...options, trustedOrigins });
    expect(await open(trusting, {})).toHaveProperty('remoteAddress', '127.0.0.1');
  });

  it('checks again for every connection, so that DNS rebinding gains nothing', async () => {
    const connector = guarded(LOOPBACK, answering(['127.0.0.1'], ['10.0.0.1']));
    expect(await open(connector, {})).toHaveProperty('remoteAddress', '127.0.0.1');
    expect(await open(connector, {})).toMatchObject({ address: '10.0.0.1', reason: 'private' });
  });

  it.each(['http:', 'https:'])(
    'checks the peer before it writes a byte over %s',
    async (protocol) => {
      const decisions = [{ allowed: true }, { allowed: false, reason: 'private' }] as const;
      let checks = 0;
      const changing: AddressPolicy = { check: () => decisions[checks++]! };
      const outcome = await open(guarded(changing, answering(['127.0.0.1'])), { protocol });
      const reason = outcome instanceof BlockedAddressError ? outcome : (outcome as Socket).errored;
      expect(reason).toBeInstanceOf(BlockedAddressError);
      await vi.waitUntil(() => accepted[0]?.socket.closed);
      expect(accepted[0]).toHaveProperty('bytes', 0);
    },
  );

  it('calls back once when it is stopped while the name is resolved, and does not connect', async () => {
    let answer = (): void => undefined;
    const resolve: Resolve = (_hostname, _opener, callback) => {
      answer = () => callback(null, [lookupAddress('127.0.0.1')]);
    };
    const connector = guarded(LOOPBACK, resolve);
    connectors.push(connector);
    const results: (Error | null)[] = [];
    const target = {
      hostname: 'hook.example',
      host: `hook.example:${port}`,
      protocol: 'http:',
      port,
    };
    const opener = { ownerKey: '', setQueued: () => undefined };
    const opening = connector.open(target, opener, (...[error]) => void results.push(error));
    const stopped = new Error('stopped');
    opening!.destroy(stopped);
    opening!.destroy(stopped);
    answer();
    await vi.waitUntil(() => results.length > 0);
    expect(results).toEqual([stopped]);
    expect(accepted).toHaveLength(0);
  });

  it('never resolves localhost', async () => {
    const resolve = answering(['1.1.1.1']);
    const outcome = await open(guarded(LOOPBACK, resolve), { hostname: 'localhost' });
    expect(outcome).toHaveProperty('remoteAddress', '127.0.0.1');
    expect(resolve.asked).toEqual([]);
  });

  it('reports a name without an address as a DNS failure', async () => {
    const error = await open(guarded(LOOPBACK, answering([])), {});
    expect(error).toBeInstanceOf(ConnectionError);
    expect(error).toMatchObject({ phase: 'dns', cause: { code: 'ENODATA' } });
  });

  it('lets a trusted origin reach loopback, also by name, but no private address', async () => {
    const resolve = answering(['127.0.0.1'], ['10.0.0.1']);
    const connector = guarded(STRICT, resolve, [`http://hook.example:${port}`]);
    expect(await open(connector, {})).toHaveProperty('remoteAddress', '127.0.0.1');
    expect(await open(connector, {})).toBeInstanceOf(BlockedAddressError);
    expect(await open(connector, { protocol: 'https:' })).toBeInstanceOf(BlockedAddressError);
  });

  it('opens nothing after close, which destroys open connections', async () => {
    const connector = guarded(LOOPBACK, answering(['127.0.0.1']));
    const socket = (await open(connector, {})) as Socket;
    connector.close();
    expect(socket.destroyed).toBe(true);
    expect(await open(connector, {})).toBeInstanceOf(ConnectionError);
  });
});

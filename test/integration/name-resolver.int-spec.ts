import type { LookupAddress } from 'node:dns';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  NameResolver,
  type NameResolverOptions,
} from '../../src/outbound/dns/name-resolver.client.js';
import { NameServer, type NameReply, type Question } from '../support/name-server.js';

/** Long enough that a test which waits for it has failed. */
const AMPLE_MS = 60_000;
const WAIT = { timeout: 20_000 };
/** As many as one owner may have at once. */
const SHARE = 100;

let folder: string;
let servers: NameServer[];
let resolvers: NameResolver[];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tidings-hosts-'));
  servers = [];
  resolvers = [];
});

afterEach(async () => {
  resolvers.forEach((resolver) => resolver.close());
  await Promise.all(servers.map((server) => server.close()));
  rmSync(folder, { recursive: true });
});

async function nameServer(
  reply: (question: Question, count: number) => NameReply,
): Promise<NameServer> {
  const server = await NameServer.start(reply);
  servers.push(server);
  return server;
}

function resolver(
  asked: readonly NameServer[],
  options: Partial<NameResolverOptions> = {},
): NameResolver {
  const created = new NameResolver({
    servers: asked.map(({ address }) => address),
    timeoutMs: AMPLE_MS,
    resendMs: AMPLE_MS,
    queueMs: AMPLE_MS,
    hostsFile: join(folder, 'hosts'),
    ...options,
  });
  resolvers.push(created);
  return created;
}

interface Resolution {
  /** Addresses, or the code or class of the error; undefined: not yet. */
  result: string[] | string | undefined;
  /** What the opener has been informed of. */
  queued: boolean[];
}

function resolve(from: NameResolver, name: string, ownerKey = 'a'): Resolution {
  const resolution: Resolution = { result: undefined, queued: [] };
  const opener = { ownerKey, setQueued: (is: boolean) => void resolution.queued.push(is) };
  from.resolve(name, opener, (error: NodeJS.ErrnoException | null, found: LookupAddress[]) => {
    expect(resolution.result).toBeUndefined();
    resolution.result = error
      ? (error.code ?? error.constructor.name)
      : found.map(({ address }) => address).toSorted();
  });
  expect(resolution.result).toBeUndefined();
  return resolution;
}

async function resolved(from: NameResolver, name: string, ownerKey?: string) {
  const resolution = resolve(from, name, ownerKey);
  await vi.waitUntil(() => resolution.result !== undefined, WAIT);
  return resolution.result;
}

const always = (reply: NameReply) => () => reply;

describe('a name is resolved', () => {
  it.each<[string, (question: Question) => NameReply, string[] | string]>([
    [
      'to all its addresses',
      always({ addresses: ['10.0.0.1', '10.0.0.2', 'fd00::1'] }),
      ['10.0.0.1', '10.0.0.2', 'fd00::1'],
    ],
    ['that has no address', always({ addresses: [] }), 'ENODATA'],
    ['that does not exist', always({ code: 'NXDOMAIN' }), 'ENOTFOUND'],
    ['whose servers fail', always({ code: 'SERVFAIL' }), 'ESERVFAIL'],
    ['that the server refuses', always({ code: 'REFUSED' }), 'EREFUSED'],
    [
      'although its server says of IPv6 that it does not exist',
      ({ type }) => (type === 'A' ? { addresses: ['10.0.0.1'] } : { code: 'NXDOMAIN' }),
      ['10.0.0.1'],
    ],
    [
      'although its server is silent about IPv6',
      ({ type }) => (type === 'A' ? { addresses: ['10.0.0.1'] } : undefined),
      ['10.0.0.1'],
    ],
    [
      'although its server is silent about IPv4',
      ({ type }) => (type === 'AAAA' ? { addresses: ['fd00::1'] } : undefined),
      ['fd00::1'],
    ],
  ])('%s', async (_, reply, expected) => {
    expect(await resolved(resolver([await nameServer(reply)]), 'hook.example')).toEqual(expected);
  });

  it('with more addresses than UDP carries, of which some are used', async () => {
    const addresses = Array.from({ length: 1_000 }, (_, n) => `10.0.${n >> 8}.${n & 255}`);
    const found = await resolved(
      resolver([await nameServer(always({ addresses }))]),
      'many.example',
    );
    expect(found).toHaveLength(16);
    expect(addresses).toEqual(expect.arrayContaining(found as string[]));
  });

  it('with an answer that comes after the question was sent again', async () => {
    let answerFirst = (): void => undefined;
    const released = new Promise<void>((resolve) => (answerFirst = resolve));
    const server = await nameServer((_, count) => {
      if (count === 1) return { addresses: ['10.0.0.1'], after: released };
      return undefined;
    });
    const slow = resolve(resolver([server], { resendMs: 50 }), 'slow.example');
    await vi.waitUntil(() => server.asked('slow.example', 'AAAA') > 2, WAIT);
    answerFirst();
    await vi.waitUntil(() => slow.result !== undefined, WAIT);
    expect(slow.result).toEqual(['10.0.0.1']);
  });

  it('at the next server while the first is silent', async () => {
    const silent = await nameServer(always(undefined));
    const other = await nameServer(always({ addresses: ['10.0.0.1'] }));
    const from = resolver([silent, other], { resendMs: 50 });
    expect(await resolved(from, 'hook.example')).toEqual(['10.0.0.1']);
    expect(silent.asked('hook.example')).toBeGreaterThan(0);
  });

  it('not at all when no server answers in time', async () => {
    const from = resolver([await nameServer(always(undefined))], { timeoutMs: 100 });
    expect(await resolved(from, 'silent.example')).toBe('ETIMEOUT');
  });
});

describe('a name is not asked for', () => {
  it('when it is in the hosts file, whose changes count', async () => {
    const server = await nameServer(always({ addresses: ['10.0.0.9'] }));
    writeFileSync(join(folder, 'hosts'), '10.0.0.1 hook.example\n');
    const from = resolver([server]);
    expect(await resolved(from, 'hook.example')).toEqual(['10.0.0.1']);
    expect(server.questions).toEqual([]);
    writeFileSync(join(folder, 'hosts'), '10.0.0.2 hook.example # moved\n');
    const isMoved = async () => String(await resolved(from, 'hook.example')) === '10.0.0.2';
    await vi.waitUntil(isMoved, WAIT);
    rmSync(join(folder, 'hosts'));
    const isAsked = async () => String(await resolved(from, 'hook.example')) === '10.0.0.9';
    await vi.waitUntil(isAsked, WAIT);
  });

  it('when it ends in .invalid', async () => {
    const server = await nameServer(always({ addresses: ['10.0.0.1'] }));
    expect(await resolved(resolver([server]), 'hook.invalid')).toBe('ENOTFOUND');
    expect(server.questions).toEqual([]);
  });

  it.each<[string, NameReply]>([
    ['an answer', { addresses: ['10.0.0.1'] }],
    ['a failure', { code: 'NXDOMAIN' }],
  ])('again while %s is kept', async (_, reply) => {
    const server = await nameServer(always(reply));
    const from = resolver([server]);
    const first = await resolved(from, 'hook.example');
    expect(await resolved(from, 'hook.example', 'b')).toEqual(first);
    expect(server.asked('hook.example')).toBe(1);
  });

  it('twice at the same time, also for several owners', async () => {
    let answer = (): void => undefined;
    const after = new Promise<void>((resolve) => (answer = resolve));
    const server = await nameServer(always({ addresses: ['10.0.0.1'], after }));
    const from = resolver([server]);
    const all = ['a', 'a', 'b'].map((owner) => resolve(from, 'hook.example', owner));
    await vi.waitUntil(() => server.asked('hook.example') > 0, WAIT);
    answer();
    await vi.waitUntil(() => all.every(({ result }) => result !== undefined), WAIT);
    expect(all.map(({ result }) => result)).toEqual(all.map(() => ['10.0.0.1']));
    expect(server.asked('hook.example')).toBe(1);
  });
});

describe('names that are not answered', () => {
  const partlySilent = ({ name }: Question): NameReply =>
    name.startsWith('silent') ? undefined : { addresses: ['10.0.0.1'] };

  const fill = (from: NameResolver, ownerKey: string): Resolution[] =>
    Array.from({ length: SHARE }, (_, n) =>
      resolve(from, `silent-${ownerKey}-${n}.example`, ownerKey),
    );

  it('delay no other owner, and not the names that are known', async () => {
    const from = resolver([await nameServer(partlySilent)]);
    expect(await resolved(from, 'known.example', 'a')).toEqual(['10.0.0.1']);
    fill(from, 'a');
    const waiting = resolve(from, 'hook.example', 'a');
    expect(waiting.queued).toEqual([true]);
    expect(await resolved(from, 'known.example', 'a')).toEqual(['10.0.0.1']);
    // The other owner's lookup is the one that the first waits for.
    expect(await resolved(from, 'hook.example', 'b')).toEqual(['10.0.0.1']);
    expect(waiting).toEqual({ result: ['10.0.0.1'], queued: [true, false] });
  });

  it('give their turns to the next when they end', async () => {
    const from = resolver([await nameServer(partlySilent)], { timeoutMs: 2_000 });
    const silent = fill(from, 'a');
    const waiting = [1, 2, 3].map((n) => resolve(from, `hook-${n}.example`, 'a'));
    const all = [...silent, ...waiting];
    await vi.waitUntil(() => all.every(({ result }) => result !== undefined), WAIT);
    expect(waiting).toEqual(waiting.map(() => ({ result: ['10.0.0.1'], queued: [true, false] })));
    expect(silent.map(({ result }) => result)).toEqual(silent.map(() => 'ETIMEOUT'));
  });

  it('let one that waits too long go without having been asked', async () => {
    const server = await nameServer(partlySilent);
    const from = resolver([server], { queueMs: 50 });
    fill(from, 'a');
    expect(await resolved(from, 'hook.example', 'a')).toBe('LookupsExhaustedError');
    expect(server.asked('hook.example')).toBe(0);
    expect(await resolved(from, 'hook.example', 'b')).toEqual(['10.0.0.1']);
  });

  it('end with the resolver, and so do those that wait', async () => {
    const from = resolver([await nameServer(partlySilent)]);
    const all = [...fill(from, 'a'), resolve(from, 'hook.example', 'a')];
    from.close();
    expect(all.map(({ result }) => result)).toEqual(all.map(() => 'ECANCELLED'));
    expect(await resolved(from, 'other.example', 'b')).toBe('ECANCELLED');
  });
});

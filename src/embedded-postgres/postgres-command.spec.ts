import { describe, expect, test } from 'vitest';
import {
  fittingSocketDirectory,
  launchCommand,
  lockHolder,
  majorVersion,
  serverArguments,
  supervisorOf,
} from './postgres-command.js';

const account = { uid: 65_534, gid: 65_534 };

describe('the command that runs a program of PostgreSQL', () => {
  test('leaves the user alone and dies with its parent when no account is asked for', () => {
    const mode = { setpriv: '/usr/bin/setpriv', overridePermissions: false };
    expect(launchCommand(mode, '/bin/postgres', ['-V'])).toEqual({
      file: '/usr/bin/setpriv',
      args: ['--pdeathsig=INT', '/bin/postgres', '-V'],
    });
  });

  test('changes the account through setpriv, or without it through the system call', () => {
    const mode = { account, overridePermissions: false };
    expect(launchCommand({ ...mode, setpriv: 'setpriv' }, 'p', []).args).toEqual([
      '--reuid=65534',
      '--regid=65534',
      '--clear-groups',
      '--pdeathsig=INT',
      'p',
    ]);
    expect(launchCommand(mode, 'p', [])).toEqual({ file: 'p', args: [], ...account });
  });

  test('keeps one capability when permissions are overridden', () => {
    const { args } = launchCommand({ setpriv: 's', account, overridePermissions: true }, 'p', []);
    expect(args).toEqual(
      expect.arrayContaining(['--ambient-caps=+dac_override', '--securebits=+no_setuid_fixup']),
    );
  });

  test('names its supervisor, whatever else is set', () => {
    const settings = { fsync: 'off', 'tidings.supervisor': '1' };
    const args = serverArguments('/data', '/socket', 4321, settings);
    expect(args).toContain('fsync=off');
    expect(supervisorOf(args.join('\0'))).toBe(4321);
    expect(supervisorOf('postgres -D /data')).toBeUndefined();
  });
});

test('a socket directory fits when the path of its socket has at most 103 bytes', () => {
  const longest = `/${'x'.repeat(103 - 1 - '/.s.PGSQL.5432'.length)}`;
  expect(fittingSocketDirectory([longest, '/short'])).toBe(longest);
  expect(fittingSocketDirectory([`${longest}x`, '/short'])).toBe('/short');
  expect(fittingSocketDirectory([`${longest}x`])).toBeUndefined();
});

test.each([
  ['4711\n/data\n1700000000\n5432\n', 4711],
  ['4711', 4711],
  ['', undefined],
  ['\n4711', undefined],
  ['nonsense\n4711', undefined],
])('the holder of the lock %j is %s', (content, pid) => {
  expect(lockHolder(content)).toBe(pid);
});

test.each([
  ['postgres (PostgreSQL) 18.4\n', 18],
  ['postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)', 15],
  ['18\n', 18],
  ['', undefined],
])('the major version in %j is %s', (text, major) => {
  expect(majorVersion(text)).toBe(major);
});

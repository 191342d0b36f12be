import { describe, expect, it } from 'vitest';
import { parseHosts } from './hosts-file.js';

describe(parseHosts.name, () => {
  it.each<[string, string, Record<string, string[]>]>([
    ['a name', '127.0.0.1 localhost', { localhost: ['127.0.0.1'] }],
    [
      'several names, tabs and a comment',
      '10.0.0.1\thook  hook.example # old: 10.0.0.2 gone',
      { hook: ['10.0.0.1'], 'hook.example': ['10.0.0.1'] },
    ],
    [
      'both families and a repeated line',
      '::1 host\n127.0.0.1 host\r\n::1 host\n',
      { host: ['::1', '127.0.0.1'] },
    ],
    ['capital letters and a final dot', '10.0.0.1 Hook.Example.', { 'hook.example': ['10.0.0.1'] }],
    ['no address', 'localhost 127.0.0.1\n# 10.0.0.1 x\n\n10.0.0 x', {}],
  ])('reads %s', (_, text, expected) => {
    expect(Object.fromEntries(parseHosts(text))).toEqual(expected);
  });
});

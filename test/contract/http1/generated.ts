import fc from 'fast-check';
import { BODY_SAMPLES } from './body-samples.js';
import { HEAD_SAMPLES } from './head-samples.js';

const SAMPLES = [...Object.values(HEAD_SAMPLES), ...Object.values(BODY_SAMPLES)].flat();
/** Long samples are about limits; mutations of them would seldom reach anything else. */
const SHORT = SAMPLES.filter(([, response]) => response.length < 500);

const oddSpace = fc.constantFrom(
  '',
  ' ',
  '',
  ' ',
  '',
  ' ',
  '  ',
  '\t',
  ' \t',
  '\xa0',
  '\x0b',
  '\r\n ',
);
const length = fc.constantFrom('2', '2', '2', '2', '02', '0', '3', '2,2', '+2', '2 2', '0x2', '');
const coding = fc
  .array(
    fc.constantFrom('chunked', 'Chunked', 'gzip', 'identity', 'x', '', '"chunked"', 'chunked;q=1'),
    {
      minLength: 1,
      maxLength: 2,
    },
  )
  .chain((codings) => fc.constantFrom(',', ', ', ' , ', ' ', '\t').map((by) => codings.join(by)));
const field = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('content-length', 'Content-Length', 'content-length '),
      oddSpace,
      length,
      oddSpace,
    )
    .map(([name, before, value, after]) => `${name}:${before}${value}${after}\r\n`),
  fc
    .tuple(oddSpace, coding, oddSpace)
    .map(([before, value, after]) => `transfer-encoding:${before}${value}${after}\r\n`),
  fc
    .constantFrom('close', 'keep-alive', 'upgrade', 'close, x', 'x close')
    .map((value) => `connection: ${value}\r\n`),
  fc.constantFrom(
    'a: b\r\n',
    'a:\r\n',
    'a: \xff\t\r\n',
    'upgrade: h2c\r\n',
    'trailer: a\r\n',
    'a: b\n',
    'a : b\r\n',
    'a: \0\r\n',
  ),
);
const statusLine = fc
  .tuple(
    fc.constantFrom('1.1', '1.1', '1.1', '1.0'),
    fc.constantFrom(200, 200, 200, 201, 204, 205, 304, 404, 500, 999),
    fc.constantFrom(' OK', ' ', '', ' \xff\t'),
  )
  .map(([version, status, reason]) => `HTTP/${version} ${status}${reason}\r\n`);
const chunk = fc
  .tuple(
    fc.constantFrom(
      '2',
      '02',
      '0',
      '2;a',
      '2;a=b',
      '2;a="b"',
      '2;',
      '2 ',
      '1',
      '3',
      '0000000000002',
    ),
    fc.constantFrom('ok', 'ok', 'o', ''),
  )
  .map(([size, data]) => `${size}\r\n${data}\r\n`);
const body = fc.oneof(
  fc.constantFrom('', 'ok', 'ok', 'okay', '\r\n'),
  fc
    .tuple(
      fc.array(chunk, { maxLength: 2 }),
      fc.constantFrom('', '', 'a: b\r\n', 'content-length: 2\r\n'),
    )
    .map(([chunks, trailer]) => `${chunks.join('')}0\r\n${trailer}\r\n`),
);
const interim = fc.constantFrom(
  '',
  '',
  '',
  'HTTP/1.1 103 X\r\n\r\n',
  'HTTP/1.1 100 X\r\na: b\r\n\r\n',
);

/** Responses of parts that are near what is valid. */
const composed = fc
  .tuple(interim, statusLine, fc.array(field, { maxLength: 3 }), body)
  .map(([hints, start, fields, content]) => `${hints}${start}${fields.join('')}\r\n${content}`);

const CHARACTERS = Array.from('\r\n \t\0\x0b\x7f\xa0\xff:,;="012ax-+');
const piece = fc.constantFrom(
  ...CHARACTERS,
  '\r\n',
  '\r\n ',
  '\r\n\r\n',
  '0\r\n\r\n',
  '2\r\nok\r\n',
);

type Mutation = (response: string, at: number) => string;

const spliced = (response: string, at: number, removed: number, inserted: string) => {
  const start = at % (response.length + 1);
  return response.slice(0, start) + inserted + response.slice(start + removed);
};

const replaced = fc.tuple(fc.nat(2), piece).map(
  ([removed, inserted]): Mutation =>
    (text, at) =>
      spliced(text, at, removed, inserted),
);

const anyByte = fc.nat(255).map(
  (code): Mutation =>
    (text, at) =>
      spliced(text, at, 1, String.fromCharCode(code)),
);

const shortened = fc.nat(4).map(
  (removed): Mutation =>
    (text, at) =>
      spliced(text, at, removed, ''),
);

/** A new line or a copy of another, between two lines. */
const lineAdded = fc
  .tuple(fc.option(fc.oneof(field, chunk)), fc.nat())
  .map(([line, from]): Mutation => (text, at) => {
    const lines = text.split(/(?<=\r\n)/);
    lines.splice(1 + (at % lines.length), 0, line ?? lines[from % lines.length]!);
    return lines.join('');
  });

const joined = fc.constantFrom(...SHORT).map(([, other]): Mutation => (text, at) => {
  return text.slice(0, at % (text.length + 1)) + other.slice(at % (other.length + 1));
});

const mutation = fc.oneof(replaced, anyByte, shortened, lineAdded, joined);

const ACCEPTED = SHORT.filter(([, , outcome]) => !outcome.endsWith('broken'));

/** Near what is valid, so that many of them are accepted. */
export const anyResponse = fc
  .tuple(
    fc.oneof(
      fc.constantFrom(...ACCEPTED).map(([, response]) => response),
      composed,
      composed,
    ),
    fc.array(fc.tuple(mutation, fc.nat()), { maxLength: 2 }),
  )
  .map(([response, mutations]) =>
    mutations.reduce((text, [mutate, at]) => mutate(text, at), response),
  );

/** Where a fold may stand: after the colon, and where a value has a space. */
const fold = fc.constantFrom(' ', ' ', '\r\n ', '\r\n\t', ' \r\n  ', '\r\n \r\n ');
const foldedField = fc
  .tuple(
    fc.constantFrom(
      ['a', 'b', 'c d'],
      ['content-length', '2'],
      ['content-length', '1', '2'],
      ['transfer-encoding', 'gzip,', 'chunked'],
      ['transfer-encoding', 'chunked'],
      ['connection', 'x,', 'close'],
      ['retry-after', 'a', 'b'],
    ),
    fc.array(fold, { minLength: 3, maxLength: 3 }),
  )
  .map(([[name, ...words], folds]) => ({
    folded: `${name}:${words.map((word, index) => folds[index] + word).join('')}\r\n`,
    joined: `${name}:${words.map((word) => ` ${word}`).join('')}\r\n`,
  }));

/** The same response with folded fields, and with each in one line. */
export const foldable = fc
  .tuple(statusLine, fc.array(foldedField, { maxLength: 3 }), body)
  .map(([start, fields, content]) => ({
    folded: `${start}${fields.map(({ folded }) => folded).join('')}\r\n${content}`,
    joined: `${start}${fields.map((each) => each.joined).join('')}\r\n${content}`,
  }));

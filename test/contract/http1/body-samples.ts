import { MORE_LENIENT, REUSE, STRICTER } from './differences.js';
import { both, node, OK, type Sample, TWO } from './sample.js';

const CHUNKED = `${OK}transfer-encoding: chunked\r\n\r\n`;
const OF_TWO = '2\r\nok\r\n0\r\n\r\n';
const AS_IT_IS = '200 "2\\r\\nok\\r\\n0\\r\\n\\r\\n" close';

const untilEnd: Sample[] = [
  ['until the end', `${OK}\r\nok`, '200 "ok" close'],
  ['until the end, nothing', `${OK}\r\n`, '200 "" close'],
  ['until the end, with line ends', `${OK}\r\na\r\n\r\nb`, '200 "a\\r\\n\\r\\nb" close'],
  ['until the end, HTTP/1.0', 'HTTP/1.0 200 OK\r\n\r\nok', '200 "ok" close'],
];

const sizes: Sample[] = [
  ['one chunk', `${CHUNKED}${OF_TWO}`, '200 "ok"'],
  ['two chunks', `${CHUNKED}1\r\no\r\n1\r\nk\r\n0\r\n\r\n`, '200 "ok"'],
  ['no chunk', `${CHUNKED}0\r\n\r\n`, '200 ""'],
  ['a size in capital letters', `${CHUNKED}A\r\n0123456789\r\n0\r\n\r\n`, '200 "0123456789"'],
  ['a size in small letters', `${CHUNKED}a\r\n0123456789\r\n0\r\n\r\n`, '200 "0123456789"'],
  ['leading zeros', `${CHUNKED}0002\r\nok\r\n000\r\n\r\n`, '200 "ok"'],
  [
    '13 digits',
    `${CHUNKED}0000000000002\r\nok\r\n0\r\n\r\n`,
    '200 broken',
    both('200 "ok"', STRICTER.chunkDigits),
  ],
  ['a size of 48 bits', `${CHUNKED}ffffffffffff\r\nok`, '200 broken'],
  ['a size of 64 bits', `${CHUNKED}ffffffffffffffff\r\nok`, '200 broken'],
  ['a size of 68 bits', `${CHUNKED}ffffffffffffffff2\r\nok\r\n0\r\n\r\n`, '200 broken'],
  ['no size', `${CHUNKED}\r\nok\r\n0\r\n\r\n`, '200 broken'],
  ['plus', `${CHUNKED}+${OF_TWO}`, '200 broken'],
  ['minus', `${CHUNKED}-${OF_TWO}`, '200 broken'],
  ['0x', `${CHUNKED}0x${OF_TWO}`, '200 broken'],
  ['a letter after the size', `${CHUNKED}2g\r\nok\r\n0\r\n\r\n`, '200 broken'],
  ['an underscore in the size', `${CHUNKED}1_0\r\nok\r\n0\r\n\r\n`, '200 broken'],
  ['a space before the size', `${CHUNKED} ${OF_TWO}`, '200 broken'],
  [
    'a space after the size',
    `${CHUNKED}2 \r\nok\r\n0\r\n\r\n`,
    '200 "ok"',
    both('200 broken', MORE_LENIENT.chunkSpace),
  ],
  [
    'a tab after the size',
    `${CHUNKED}2\t\r\nok\r\n0\r\n\r\n`,
    '200 "ok"',
    both('200 broken', MORE_LENIENT.chunkSpace),
  ],
];

const extended = (extension: string) => `${CHUNKED}2${extension}\r\nok\r\n0\r\n\r\n`;
const ignored = both('200 broken', MORE_LENIENT.chunkSpace);

const extensions: Sample[] = [
  ['a name', extended(';a'), '200 "ok"'],
  ['a name and a value', extended(';a=b'), '200 "ok"'],
  ['a quoted value', extended(';a="b;c"'), '200 "ok"'],
  ['two', extended(';a=b;c=d'), '200 "ok"'],
  ['one at the last chunk', `${CHUNKED}2\r\nok\r\n0;a\r\n\r\n`, '200 "ok"'],
  ['8,000 characters', extended(`;${'x'.repeat(8_000)}`), '200 "ok"'],
  [
    '20,000 characters',
    extended(`;${'x'.repeat(20_000)}`),
    '200 "ok"',
    node('200 broken', MORE_LENIENT.chunkExtensionSize),
  ],
  [
    '200,000 characters',
    extended(`;${'x'.repeat(200_000)}`),
    '200 broken',
    { undici: '200 "ok"', because: STRICTER.framingSize },
  ],
  ['no name', extended(';'), '200 broken'],
  ['a space before it', extended(' ;a=b'), '200 "ok"', ignored],
  ['a space in it', extended('; a=b'), '200 "ok"', ignored],
  ['spaces around =', extended(';a = b'), '200 "ok"', ignored],
  ['an open quote', extended(';a="b'), '200 broken'],
  ['an escaped quote', extended(';a="b\\"c"'), '200 "ok"'],
  ['no token', extended(';@'), '200 broken'],
  ['a value beyond ASCII', extended(';a=\xe9'), '200 broken'],
  ['a control', extended(';a=\x01'), '200 broken'],
  ['LF in it', extended(';a\nb'), '200 broken'],
  ['CR in it', extended(';a\rb'), '200 broken'],
];

const lineEnds: Sample[] = [
  ['LF after the size', `${CHUNKED}2\nok\r\n0\r\n\r\n`, '200 broken'],
  ['LF after the data', `${CHUNKED}2\r\nok\n0\r\n\r\n`, '200 broken'],
  ['CR after the data', `${CHUNKED}2\r\nok\r0\r\n\r\n`, '200 broken'],
  ['nothing after the data', `${CHUNKED}2\r\nok0\r\n\r\n`, '200 broken'],
  ['too much data', `${CHUNKED}2\r\nokay\r\n0\r\n\r\n`, '200 broken'],
  ['too little data', `${CHUNKED}4\r\nok\r\n0\r\n\r\n`, '200 broken'],
  ['no last chunk', `${CHUNKED}2\r\nok\r\n`, '200 broken'],
  ['no end after the last chunk', `${CHUNKED}2\r\nok\r\n0\r\n`, '200 broken'],
  ['half an end', `${CHUNKED}2\r\nok\r\n0\r\n\r`, '200 broken'],
  ['LF LF after the last chunk', `${CHUNKED}2\r\nok\r\n0\n\n`, '200 broken'],
  ['CR LF LF after the last chunk', `${CHUNKED}2\r\nok\r\n0\r\n\n`, '200 broken'],
  [
    'more behind it',
    `${CHUNKED}${OF_TWO}HTTP`,
    '200 "ok" close',
    node('200 "ok"', REUSE.moreBytes),
  ],
];

const trailed = (trailer: string) => `${CHUNKED}2\r\nok\r\n0\r\n${trailer}\r\n`;

const folded = both('200 broken', MORE_LENIENT.folded);

const trailers: Sample[] = [
  ['a field', trailed('a: b\r\n'), '200 "ok"'],
  ['20 KiB', trailed('a: b\r\n'.repeat(3_500)), '200 "ok"'],
  ['180 KB', trailed('a: b\r\n'.repeat(30_000)), '200 broken'],
  ['connection: close', trailed('connection: close\r\n'), '200 "ok"'],
  ['a transfer coding', trailed('transfer-encoding: chunked\r\n'), '200 "ok"'],
  [
    'a length',
    trailed('content-length: 5\r\n'),
    '200 "ok"',
    both('200 broken', MORE_LENIENT.trailerLength),
  ],
  ['a line without a colon', trailed('nothing\r\n'), '200 broken'],
  ['a folded field', trailed('a: b\r\n c\r\n'), '200 "ok"', folded],
  ['a folded first line', trailed(' a: b\r\n'), '200 broken'],
  ['LF after a field', trailed('a: b\n'), '200 broken'],
  ['NUL in a value', trailed('a: \0\r\n'), '200 broken'],
];

const coded = (value: string) => `${OK}transfer-encoding:${value}\r\n\r\n${OF_TWO}`;

const codings: Sample[] = [
  ['in capital letters', coded(' CHUNKED'), '200 "ok"'],
  ['gzip, chunked', coded(' gzip, chunked'), '200 "ok"'],
  ['gzip and chunked in two lines', coded(' gzip\r\ntransfer-encoding: chunked'), '200 "ok"'],
  ['chunked, chunked', coded(' chunked, chunked'), '200 "ok"'],
  ['chunked in two lines', coded(' chunked\r\ntransfer-encoding: chunked'), '200 "ok"'],
  ['a comma before chunked', coded(' ,chunked'), '200 "ok"'],
  ['a comma after chunked', coded(' chunked,'), AS_IT_IS],
  ['chunked, gzip', coded(' chunked, gzip'), AS_IT_IS],
  ['chunked and gzip in two lines', coded(' chunked\r\ntransfer-encoding: gzip'), AS_IT_IS],
  ['xchunked', coded(' xchunked'), AS_IT_IS],
  ['chunkedx', coded(' chunkedx'), AS_IT_IS],
  ['chunked in quotes', coded(' "chunked"'), AS_IT_IS],
  ['chunked with a parameter', coded(' chunked;q=1'), AS_IT_IS],
  ['gzip', coded(' gzip'), AS_IT_IS],
  ['identity', coded(' identity'), AS_IT_IS],
  ['an empty value', coded(''), AS_IT_IS],
  ['a folded value', coded('\r\n chunked'), '200 "ok"', both('broken', MORE_LENIENT.folded)],
  ['a vertical tab', coded(' \x0bchunked'), 'broken'],
  ['a space after chunked', coded(' chunked '), '200 "ok"'],
  ['a tab before chunked', coded('\tchunked'), '200 "ok"'],
  ['a tab after chunked', coded(' chunked\t'), '200 "ok"', both(AS_IT_IS, MORE_LENIENT.codingTab)],
  ['chunked and an empty line', coded(' chunked\r\ntransfer-encoding:'), '200 "ok"'],
  ['a no-break space after chunked', coded(' chunked\xa0'), AS_IT_IS],
  ['x chunked', coded(' x chunked'), AS_IT_IS],
  ['a no-break space before chunked', coded(' \xa0chunked'), AS_IT_IS],
  [
    'of HTTP/1.0',
    `HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n${OF_TWO}`,
    '200 "ok" close',
  ],
];

const chunkedToo = 'transfer-encoding: chunked\r\n';

const bothFramings: Sample[] = [
  ['a length, then chunks', `${OK}content-length: 2\r\n${chunkedToo}\r\n${OF_TWO}`, 'broken'],
  ['chunks, then a length', `${OK}${chunkedToo}content-length: 2\r\n\r\n${OF_TWO}`, 'broken'],
  ['a length of 0', `${OK}content-length: 0\r\n${chunkedToo}\r\n0\r\n\r\n`, 'broken'],
  ['gzip', `${OK}transfer-encoding: gzip\r\n${TWO}`, 'broken'],
  ['identity', `${OK}transfer-encoding: identity\r\n${TWO}`, 'broken'],
  [
    'a length, then an empty coding',
    `${OK}content-length: 2\r\ntransfer-encoding:\r\n\r\nok`,
    'broken',
  ],
  [
    'an empty coding, then a length',
    `${OK}transfer-encoding:\r\n${TWO}`,
    'broken',
    both('200 "ok"', STRICTER.emptyCoding),
  ],
  ['HTTP/1.0', `HTTP/1.0 200 OK\r\n${chunkedToo}${TWO}`, 'broken'],
];

/** By what they show. */
export const BODY_SAMPLES: Record<string, Sample[]> = {
  'no framing': untilEnd,
  'chunk sizes': sizes,
  'chunk extensions': extensions,
  'line ends between chunks': lineEnds,
  trailers,
  'transfer codings': codings,
  'both framings': bothFramings,
};

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MAX_HEAD_BYTES, type Progress, ResponseParser } from './response-parser.js';

/** What the parser reports for some pieces of bytes. */
interface Reading {
  progress: Progress;
  status: number | undefined;
  retryAfter: string | undefined;
  informational: number;
  body: string;
  isPersistent: boolean;
  idleSeconds: number | undefined;
}

/** @param ends whether the server closes afterwards */
function read(pieces: readonly Buffer[], ends = false): Reading {
  const reading: Partial<Reading> = { informational: 0 };
  const body: Buffer[] = [];
  const parser = new ResponseParser({
    onInformational: () => reading.informational!++,
    onHead: (status, retryAfter) => Object.assign(reading, { status, retryAfter }),
    onBody: (piece) => body.push(Buffer.from(piece)),
  });
  let progress: Progress = 'incomplete';
  for (const piece of pieces) {
    progress = parser.feed(piece);
    if (progress !== 'incomplete') break;
  }
  if (ends && progress === 'incomplete') progress = parser.end();
  const { isPersistent, idleSeconds } = parser;
  const text = Buffer.concat(body).toString('latin1');
  return { ...(reading as Reading), progress, body: text, isPersistent, idleSeconds };
}

const bytes = (text: string): Buffer => Buffer.from(text, 'latin1');
const readText = (text: string, ends = false): Reading => read([bytes(text)], ends);
const OK = 'HTTP/1.1 200 OK\r\n';

describe('a response', () => {
  it.each<[string, string, Partial<Reading>]>([
    ['with a length', `${OK}content-length: 2\r\n\r\nok`, { body: 'ok', isPersistent: true }],
    ['in capital letters', `${OK}CONTENT-Length:2\r\n\r\nok`, { body: 'ok' }],
    ['without a reason', 'HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n', { status: 200, body: '' }],
    ['with a strange status', 'HTTP/1.1 999 ?\r\ncontent-length: 0\r\n\r\n', { status: 999 }],
    [
      'in chunks',
      `${OK}transfer-encoding: chunked\r\n\r\n2\r\nok\r\n00A ;x="y"\r\n0123456789\r\n0\r\nt: 1\r\n\r\n`,
      { body: 'ok0123456789', isPersistent: true },
    ],
    ['whose status excludes a body', 'HTTP/1.1 204 X\r\n\r\n', { body: '', isPersistent: true }],
    [
      'after an informational response',
      `HTTP/1.1 103 X\r\na: b\r\n\r\n${OK}content-length: 0\r\n\r\n`,
      { status: 200 },
    ],
    [
      'that closes the connection',
      `${OK}Connection: x, Close\r\ncontent-length: 0\r\n\r\n`,
      { isPersistent: false },
    ],
    [
      'with a folded field',
      '\r\nHTTP/1.1 429 X\r\nretry-after:\r\n 120\r\na: b,\r\n\tc\r\ncontent-length: 0\r\n\r\n',
      { status: 429, retryAfter: '120', isPersistent: true },
    ],
    ['of HTTP/1.0', 'HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n', { isPersistent: false }],
    [
      'of HTTP/1.0 in chunks',
      'HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n',
      { body: 'a', isPersistent: false },
    ],
    [
      'followed by more bytes',
      `${OK}content-length: 2\r\n\r\nokHTTP`,
      { body: 'ok', isPersistent: false },
    ],
    [
      'that announces how long it keeps the connection',
      `${OK}keep-alive: timeout=5, max=9\r\ncontent-length: 0\r\n\r\n`,
      { idleSeconds: 5 },
    ],
    [
      'with Retry-After',
      'HTTP/1.1 429 X\r\nRetry-After:  120\t\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n',
      { status: 429, retryAfter: '120' },
    ],
  ])('%s', (_, text, expected) => {
    expect(readText(text)).toMatchObject({ progress: 'complete', ...expected });
  });

  it('without a length ends when the server closes', () => {
    const text = `${OK}\r\nsome\r\n\r\nbody`;
    expect(readText(text).progress).toBe('incomplete');
    expect(readText(text, true)).toMatchObject({
      progress: 'complete',
      body: 'some\r\n\r\nbody',
      isPersistent: false,
    });
  });

  it.each([
    `${OK}content-length: 3\r\n\r\nok`,
    `${OK}transfer-encoding: chunked\r\n\r\n2\r\nok\r\n`,
    `${OK}content-length: 3`,
    'HTTP/1.1 100 Continue\r\n\r\n',
    'H',
  ])('is incomplete when the server closes after %j', (text) => {
    expect(readText(text).progress).toBe('incomplete');
    expect(readText(text, true).progress).toBe('broken');
  });

  it.each([
    'SSH-2.0-OpenSSH_9.2\r\n',
    'hello',
    'HTTP/2 200 OK\r\n\r\n',
    'HTTP/1.2 200 OK\r\n\r\n',
    'HTTP/1.1 20 OK\r\n\r\n',
    'HTTP/1.1 2000 OK\r\n\r\n',
    'HTTP/1.1 099 OK\r\n\r\n',
    'HTTP/1.1  200 OK\r\n\r\n',
    'HTTP/1.1 101 Switching Protocols\r\n\r\n',
    `${OK}content-length: 2\ncontent-length: 3\r\n\r\nok`,
    `${OK}content-length: 2\r\ncontent-length: 2\r\n\r\nok`,
    `${OK}content-length: +2\r\n\r\nok`,
    `${OK}content-length: 2, 2\r\n\r\nok`,
    `${OK}content-length: 99999999999999999999\r\n\r\nok`,
    `${OK}content-length: 2\r\ntransfer-encoding: chunked\r\n\r\n`,
    `${OK}a : b\r\n\r\n`,
    `${OK}a\r\n\r\n`,
    `${OK}: b\r\n\r\n`,
    `${OK} folded\r\n\r\n`,
    `${OK}a: b\rc\r\n\r\n`,
    `${OK}a: \0\r\n\r\n`,
    `${OK}a: ${'x'.repeat(MAX_HEAD_BYTES)}`,
    `${OK}transfer-encoding: chunked\r\n\r\n\r\n`,
    `${OK}transfer-encoding: chunked\r\n\r\n-1\r\n`,
    `${OK}transfer-encoding: chunked\r\n\r\n0x2\r\nok\r\n`,
    `${OK}transfer-encoding: chunked\r\n\r\n2\nok\r\n`,
    `${OK}transfer-encoding: chunked\r\n\r\n2\r\nokay\r\n`,
    `${OK}transfer-encoding: chunked\r\n\r\nfffffffffffff\r\n`,
    `${OK}transfer-encoding: chunked\r\n\r\n1;${'x'.repeat(200_000)}`,
    `${OK}transfer-encoding: chunked\r\n\r\n0\r\n${'a: b\r\n'.repeat(30_000)}`,
    `${OK}transfer-encoding: chunked\r\n\r\n0\r\nnothing\r\n\r\n`,
  ])('is rejected: %j', (text) => expect(readText(text).progress).toBe('broken'));
});

const token = fc
  .stringMatching(/^[A-Za-z-]{1,12}$/)
  .filter(
    (name) => !/^(content-length|transfer-encoding|connection|keep-alive|retry-after)$/i.test(name),
  );
const field = fc
  .tuple(token, fc.stringMatching(/^[\x21-\x7e]{0,20}$/))
  .map(([name, value]) => `${name}: ${value}\r\n`);
const binary = fc
  .uint8Array({ maxLength: 200 })
  .map((array) => Buffer.from(array).toString('latin1'));

/** A response as servers write them, and what the parser must report. */
const response = fc
  .record({
    status: fc.integer({ min: 200, max: 599 }).filter((status) => status !== 204 && status !== 304),
    hints: fc.integer({ min: 0, max: 3 }),
    fields: fc.array(field, { maxLength: 5 }).map((lines) => lines.join('')),
    chunks: fc.array(
      binary.filter((chunk) => chunk.length > 0),
      { maxLength: 5 },
    ),
    isChunked: fc.boolean(),
  })
  .map(({ status, hints, fields, chunks, isChunked }) => {
    const body = chunks.join('');
    const pieces = chunks.map((chunk) => `${chunk.length.toString(16)}\r\n${chunk}\r\n`);
    const framed = isChunked
      ? `transfer-encoding: chunked\r\n\r\n${pieces.join('')}0\r\n\r\n`
      : `content-length: ${body.length}\r\n\r\n${body}`;
    const text = `${'HTTP/1.1 103 Hint\r\nlink: x\r\n\r\n'.repeat(hints)}HTTP/1.1 ${status} X\r\n${fields}${framed}`;
    return { text, status, hints, body };
  });

function cutInto(text: string, cuts: readonly number[]): Buffer[] {
  const offsets = [
    0,
    ...cuts.map((cut) => cut % (text.length + 1)).sort((a, b) => a - b),
    text.length,
  ];
  return offsets.slice(1).map((end, index) => bytes(text.slice(offsets[index], end)));
}

describe('an empty line before a response', () => {
  it.each([
    ['', false],
    ['\r', false],
    ['\r\n', false],
    ['\r\n\r\n\r', false],
    ['\r\nH', true],
    ['\rH', true],
  ])('is no byte of it: %j', (text, hasBegun) => {
    const parser = new ResponseParser({
      onInformational: () => undefined,
      onHead: () => undefined,
      onBody: () => undefined,
    });
    for (const byte of bytes(text)) parser.feed(Buffer.from([byte]));
    expect(parser.hasBegun).toBe(hasBegun);
  });
});

describe('a response that would be slow to parse', () => {
  it.each<[string, string]>([
    ['white space in a field', `${OK}a:${' '.repeat(16_000)}\x01\r\n\r\n`],
    ['folds', `${OK}a:${'\r\n '.repeat(5_000)}\x01\r\n\r\n`],
    ['white space after a size', `${OK}transfer-encoding: chunked\r\n\r\n2${' '.repeat(120_000)}@`],
    ['extensions', `${OK}transfer-encoding: chunked\r\n\r\n2${';a = "b"'.repeat(15_000)}@\r\n`],
    ['a long quote', `${OK}transfer-encoding: chunked\r\n\r\n2;a="${'\\a'.repeat(60_000)}\r\n`],
  ])('is rejected at once: %s', (_, text) => {
    expect(readText(text, true).progress).toBe('broken');
  });
});

describe('any response', () => {
  it('is read as it was written, however it is split', () => {
    fc.assert(
      fc.property(response, fc.array(fc.nat(), { maxLength: 20 }), ({ text, ...written }, cuts) => {
        expect(read(cutInto(text, cuts))).toMatchObject({
          progress: 'complete',
          status: written.status,
          informational: written.hints,
          body: written.body,
          isPersistent: true,
        });
      }),
    );
  });

  it('is read the same when split, also if it is damaged', () => {
    const damage = fc.array(
      fc.tuple(fc.nat(), fc.constantFrom('', '\r', '\n', ' ', '0', ':', '\0', 'x')),
    );
    fc.assert(
      fc.property(response, damage, fc.array(fc.nat()), ({ text }, changes, cuts) => {
        let damaged = text;
        for (const [at, put] of changes) {
          const index = at % damaged.length;
          damaged = damaged.slice(0, index) + put + damaged.slice(index + 1);
        }
        const whole = readText(damaged, true);
        const pieces = read(cutInto(damaged, cuts), true);
        // Bytes after a response are seen only if they are in its last piece.
        expect({ ...pieces, isPersistent: null }).toEqual({ ...whole, isPersistent: null });
      }),
    );
  });

  it('is complete or broken, whatever the bytes', () => {
    const noise = fc.array(fc.oneof(binary, fc.constantFrom(OK, '\r\n', 'content-length: 1', '0')));
    fc.assert(
      fc.property(noise, (parts) => {
        expect(['complete', 'broken']).toContain(readText(OK + parts.join(''), true).progress);
      }),
    );
  });
});

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MessageParser } from '../../bench/message-parser.mjs';

interface Message {
  head: string;
  body: Buffer;
  /** The sizes of the chunks; undefined: the body is sent with content-length. */
  chunks?: number;
}

const headerName = fc.constantFrom('content-length', 'Content-Length', 'CONTENT-LENGTH');

/** Bodies contain text that looks like HTTP, to mislead a parser that searches in them. */
const body = fc
  .array(fc.constantFrom('\r\n\r\n', 'content-length: 7', '\r\n', 'é', '{"a":1}', 'POST / '), {
    maxLength: 12,
  })
  .map((parts) => Buffer.from(parts.join('')));

const plain: fc.Arbitrary<Message> = fc.record({ name: headerName, body }).map((given) => ({
  head: `POST /hook HTTP/1.1\r\nhost: a\r\n${given.name}: ${given.body.length}\r\nx: y\r\n\r\n`,
  body: given.body,
}));

const chunked: fc.Arbitrary<Message> = fc
  .record({ body, chunks: fc.integer({ min: 1, max: 40 }) })
  .map((given) => ({
    head: 'HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\nx: y\r\n\r\n',
    ...given,
  }));

const message = fc.oneof(plain, chunked);

function bytesOf({ head, body: bytes, chunks }: Message): Buffer {
  if (chunks === undefined) return Buffer.concat([Buffer.from(head), bytes]);
  const parts: Buffer[] = [Buffer.from(head)];
  for (let at = 0; at < bytes.length; at += chunks) {
    const part = bytes.subarray(at, at + chunks);
    parts.push(Buffer.from(`${part.length.toString(16)};e=1\r\n`), part, Buffer.from('\r\n'));
  }
  return Buffer.concat([...parts, Buffer.from('0\r\ntrailer: x\r\n\r\n')]);
}

const withoutChunks = (messages: Message[]): Message[] =>
  messages.map(({ head, body: bytes }) => ({ head, body: bytes }));

/** Cuts the bytes at the given positions. */
function chunksOf(bytes: Buffer, cuts: number[]): Buffer[] {
  const places = [0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length];
  const sorted = places.toSorted((a, b) => a - b);
  return sorted.slice(1).map((end, index) => bytes.subarray(sorted[index], end));
}

function parsed(chunks: Buffer[]): Message[] {
  const found: Message[] = [];
  const parser = new MessageParser((buffer, start, bodyAt, end) => {
    const head = buffer.toString('latin1', start, bodyAt);
    found.push({ head, body: Buffer.from(buffer.subarray(bodyAt, end)) });
  });
  for (const chunk of chunks) parser.push(chunk);
  return found;
}

describe("the benchmark's HTTP parser", () => {
  it('finds the same messages whatever the pieces of bytes', () => {
    const messages = fc.array(message, { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(messages, fc.array(fc.nat(10_000), { maxLength: 40 }), (sent, cuts) => {
        expect(parsed(chunksOf(Buffer.concat(sent.map(bytesOf)), cuts))).toEqual(
          withoutChunks(sent),
        );
      }),
    );
  });

  it('finds them byte by byte', () => {
    fc.assert(
      fc.property(fc.array(message, { minLength: 1, maxLength: 3 }), (sent) => {
        const bytes = Buffer.concat(sent.map(bytesOf));
        expect(parsed(Array.from(bytes, (byte) => Buffer.of(byte)))).toEqual(withoutChunks(sent));
      }),
      { numRuns: 20 },
    );
  });

  it('takes a message without content-length as one without body', () => {
    const head = 'HTTP/1.1 204 No Content\r\nx: y\r\n\r\n';
    expect(parsed([Buffer.from(head + head)])).toEqual([
      { head, body: Buffer.of() },
      { head, body: Buffer.of() },
    ]);
  });

  it('refuses unknown encodings, chunks without a size, and a head without end', () => {
    const head = 'POST / HTTP/1.1\r\nTransfer-Encoding: ';
    expect(() => parsed([Buffer.from(`${head}gzip, chunked\r\n\r\n`)])).toThrow();
    expect(() => parsed([Buffer.from(`${head}chunked\r\n\r\nx\r\n`)])).toThrow();
    expect(() => parsed([Buffer.alloc(65 * 1024, 'x')])).toThrow();
  });
});

import type { IncomingMessage } from 'node:http';
import { AppError } from '../shared/app-error.js';
import { Turns } from '../shared/turns.timer.js';
import { BodyBudget } from './body-budget.js';
import { type BodyLimits, MAX_PART_BYTES, sizeText } from './body-limit.decorator.js';
import { jsonText, parsedJson } from './json-body.js';
import { parsedInParts } from './json-parts.js';

const MIB = 1024 * 1024;

/** Smaller bodies are limited by the number of connections alone. */
const LARGE_BYTES = 64 * 1024;

/** Parsed, a body of small members takes up to twenty times its bytes. */
const SHARES = { total: 64 * MIB, perOwner: 16 * MIB, waitingPerOwner: 200, waitMs: 20_000 };

/** A body that may be read: its caller is known, and its route takes it. */
interface Body {
  request: IncomingMessage;
  /** Whose share of the memory it takes. */
  owner: string;
  limits: BodyLimits;
  /** Calls back when the value of the body is not needed any more; at once, if that is so already. */
  whenDone: (release: () => void) => void;
}

/** A body, and its text: what must be delivered as it was sent is cut out of the text. */
interface JsonBody {
  value: unknown;
  text: string;
}

/** Reads and parses bodies, within limits of size and memory. */
export class BodyReader {
  private readonly budget = new BodyBudget(SHARES);
  /** Large bodies are parsed one at a time, so that several of them take no longer turns. */
  private parsing: Promise<unknown> = Promise.resolve();

  /**
   * @returns undefined for an empty body: some clients name a content type whatever they send
   * @throws AppError `body_too_large`, `too_many_bodies`, `request_aborted`, `malformed_json`;
   * InvalidInputError for a text that is not acceptable
   */
  async read({ request, owner, limits, whenDone }: Body): Promise<JsonBody | undefined> {
    const announced = announcedBytes(request);
    if (announced !== undefined && announced > limits.bytes) throw tooLarge(limits);
    const reserved = announced ?? limits.bytes;
    if (reserved > LARGE_BYTES) {
      const share = this.budget.take(owner, reserved);
      whenDone(share.end);
      if (!(await share.granted)) throw aborted();
    }
    const bytes = await bytesOf(request, limits);
    if (bytes.length === 0) return undefined;
    const text = jsonText(bytes);
    const isLarge = bytes.length > LARGE_BYTES;
    return { text, value: isLarge ? await this.parsed(text, limits) : parsedJson(text) };
  }

  private parsed(text: string, { items }: BodyLimits): Promise<unknown> {
    const limits = { part: MAX_PART_BYTES, partText: sizeText(MAX_PART_BYTES), items };
    const value = this.parsing.then(() => inTurns(parsedInParts(text, parsedJson, limits)));
    this.parsing = value.catch(() => undefined);
    return value;
  }
}

/** Undefined: as much as comes. */
function announcedBytes({ headers }: IncomingMessage): number | undefined {
  const length = headers['content-length'];
  return headers['transfer-encoding'] === undefined && length !== undefined
    ? Number(length)
    : undefined;
}

function bytesOf(request: IncomingMessage, limits: BodyLimits): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const stop = () => {
      request.off('data', onData).off('end', onEnd).off('error', onAborted).off('close', onAborted);
    };
    const onData = (chunk: Buffer) => {
      length += chunk.length;
      chunks.push(chunk);
      if (length <= limits.bytes) return;
      stop();
      request.pause();
      reject(tooLarge(limits));
    };
    const onEnd = () => {
      stop();
      resolve(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks, length));
    };
    const onAborted = () => {
      stop();
      reject(aborted());
    };
    request.on('data', onData).on('end', onEnd).on('error', onAborted).on('close', onAborted);
    if (request.destroyed) onAborted();
  });
}

async function inTurns<T>(steps: Generator<void, T>): Promise<T> {
  const turns = new Turns();
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
    const { pause } = turns;
    if (pause) await pause;
  }
}

function tooLarge({ bytes }: BodyLimits): AppError {
  const message = `is larger than ${sizeText(bytes)}`;
  const errors = [{ field: '(body)', message }];
  return new AppError('too_large', 'body_too_large', `The body ${message}.`, errors);
}

const aborted = (): AppError =>
  new AppError('malformed', 'request_aborted', 'The request ended before its body was complete.');

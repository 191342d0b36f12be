/**
 * A place in the event log without an event: what had committed at one moment. A client that has not
 * received any event yet resumes after it. Its text is opaque to clients, and needs no row in the
 * database.
 */
import { firstSuffixAt } from '../../shared/ids.js';
import { NO_REORDERING, type ResumePoint, Snapshot } from './resume-point.js';

const PREFIX = 'pos_';
const PATTERN = /^pos_([0-9a-z]+)_([0-9a-z]+)_([0-9a-z]+)((?:_[0-9a-z]+)*)$/;

/** Of the text; {@link MAX_RUNNING} keeps what is written far below it. */
export const MAX_POSITION_LENGTH = 512;

/** With more running transactions the position moves back to the oldest: more is sent again. */
const MAX_RUNNING = 24;

const RADIX = 36;

/** What PostgreSQL says of the moment. */
export interface LogMoment {
  /** Milliseconds since 1970, by the clock of the database. */
  atMs: number;
  /** `pg_current_snapshot()`. */
  snapshot: string;
}

/** The moment as text, such as `pos_mk3x9q2a_2s_0`. */
export function positionText({ atMs, snapshot }: LogMoment): string {
  const [first = '', end = '', list = ''] = snapshot.split(':');
  const horizon = BigInt(first);
  const running = list.split(',').filter(Boolean).map(BigInt);
  const isShort = running.length <= MAX_RUNNING;
  const numbers = [
    BigInt(Math.max(0, Math.floor(atMs))),
    horizon,
    isShort ? BigInt(end) - horizon : 0n,
    ...(isShort ? running.map((tx) => tx - horizon) : []),
  ];
  return PREFIX + numbers.map((number) => number.toString(RADIX)).join('_');
}

/** A position that a client has sent, which may be made up. */
export interface ReadPosition {
  point: ResumePoint;
  /** Milliseconds since 1970, by the clock of the database. */
  atMs: number;
}

/** Undefined: the text is no position. */
export function readPosition(text: string): ReadPosition | undefined {
  if (text.length > MAX_POSITION_LENGTH) return undefined;
  const [, at, horizonText, width, list = ''] = PATTERN.exec(text) ?? [];
  if (at === undefined || horizonText === undefined || width === undefined) return undefined;
  const horizon = numberIn(horizonText);
  const running = list.split('_').filter(Boolean).map(numberIn);
  const atMs = Number(numberIn(at));
  const end = horizon + numberIn(width);
  const snapshot = `${horizon}:${end}:${running.map((offset) => horizon + offset).join(',')}`;
  const isPossible =
    horizon > 0n &&
    end < MAX_TX &&
    Number.isSafeInteger(atMs) &&
    running.every((offset) => horizon + offset < end);
  if (!isPossible) return undefined;
  return {
    atMs,
    point: {
      audience: null,
      position: { tx: '0', id: `evt_${firstSuffixAt(atMs)}` },
      publishedBy: null,
      snapshot: new Snapshot(snapshot),
      reorderFromId: NO_REORDERING,
      reorderableTx: undefined,
    },
  };
}

/** Whether it has the form of a position. */
export const isPosition = (text: string): boolean => readPosition(text) !== undefined;

/** Transactions are compared as `bigint` in PostgreSQL, which has a sign. */
const MAX_TX = 2n ** 63n;

function numberIn(text: string): bigint {
  let number = 0n;
  for (const digit of text) number = number * BigInt(RADIX) + BigInt(Number.parseInt(digit, RADIX));
  return number;
}

/**
 * The records of the observers of a fault run, one JSON line each. Every observer writes only what it
 * saw: a producer its requests and their answers, a receiver what arrived and what it answered, a
 * socket client the events that it received, and the harness what it did to the product. Times are
 * Unix ms.
 */
export type LedgerRecord =
  | Registered
  | Rotated
  | Asked
  | Answered
  | Received
  | Replied
  | Subscribed
  | Pushed
  | Listed
  | Shown
  | Disturbed
  | Healed
  | Rested
  | Ended
  | Complained
  | Sampled
  | Measured;

/** A webhook, after the API has confirmed it. */
export interface Registered {
  kind: 'registered';
  at: number;
  webhookId: string;
  /** null: the operator's. */
  ownerId: string | null;
  events: string[];
  ordering: 'none' | 'fifo';
  /** The most requests in any window of this length; null: no limit. */
  rateLimit: { max: number; perMs: number } | null;
  /** The most events in a request; null: one request per event. */
  batch: { maxEvents: number } | null;
  secret: string;
  timeoutMs: number;
  /** How many failures in a row open its circuit. */
  opensAfter: number;
  /** Whether its receiver works at the end; then its circuit must be closed. */
  isHealthy: boolean;
}

/** A new secret; the last one stays valid until then. */
export interface Rotated {
  kind: 'rotated';
  at: number;
  webhookId: string;
  secret: string;
  previousUntil: number;
}

/** A publication, written before its first request and not for repeated ones. */
export interface Asked {
  kind: 'asked';
  at: number;
  /** Its idempotency key, also in its data: identifies it before it has an id. */
  nonce: string;
  /** null: public. */
  ownerId: string | null;
  type: string;
  /** Counted per producer, which publishes one event after the other. */
  producer: string;
  seq: number;
}

/** One answer to one request of a publication. */
export interface Answered {
  kind: 'answered';
  at: number;
  nonce: string;
  /** 0: no answer. */
  status: number;
  eventId: string | null;
}

/** One request that a receiver has read completely. */
export interface Received {
  kind: 'received';
  at: number;
  /** The receiver's own number for it. */
  receipt: string;
  webhookId: string;
  /** The signed id: of the event, or of the batch. */
  messageId: string;
  /** Empty for a batch. */
  deliveryId: string;
  /** The number of events in its header; null: not a batch. */
  batchSize: number | null;
  timestamp: string;
  signature: string;
  body: string;
}

/** The answer of a receiver; a receipt without one was never answered. */
export interface Replied {
  kind: 'replied';
  at: number;
  receipt: string;
  /** 0: not an answer; -1: ambiguous, either a success or a failure. */
  status: number;
}

/** A socket client is subscribed from now on. */
export interface Subscribed {
  kind: 'subscribed';
  at: number;
  ownerId: string;
  /** The types that it subscribes to. */
  pattern: string;
  /** The event after which it resumes; null: from now on. */
  after: string | null;
  /** Whether the server could replay the events after that one. */
  isRecovered: boolean;
}

/** An event that a socket client was sent. */
export interface Pushed {
  kind: 'pushed';
  at: number;
  ownerId: string;
  eventId: string;
  body: string;
}

/** What the API showed to an owner. */
export interface Listed {
  kind: 'listed';
  at: number;
  ownerId: string;
  what: 'events' | 'webhooks' | 'deliveries';
  ids: string[];
}

/** How the API shows a webhook to its owner, at rest. */
export interface Shown {
  kind: 'shown';
  at: number;
  webhookId: string;
  active: boolean;
  circuit: string;
}

/** A process was killed or stopped: attempts in flight meanwhile may be repeated. */
export interface Disturbed {
  kind: 'disturbed';
  from: number;
  until: number;
  what: string;
}

/** The fault has ended; recovery is measured from here. */
export interface Healed {
  kind: 'healed';
  at: number;
  fault: string;
}

/** No event that was accepted before the end of the fault is pending any more. */
export interface Rested {
  kind: 'rested';
  at: number;
}

/** How a process ended, and how it should have ended. */
export interface Ended {
  kind: 'ended';
  at: number;
  process: string;
  how: string;
  expected: string;
}

/** A line of a process's output that no healthy process prints. */
export interface Complained {
  kind: 'complained';
  at: number;
  process: string;
  line: string;
}

/** Open files and memory of a process. */
export interface Sampled {
  kind: 'sampled';
  at: number;
  process: string;
  fds: number;
  rssBytes: number;
}

/** A value measured at rest, and the expected value. */
export interface Measured {
  kind: 'measured';
  at: number;
  gauge: string;
  value: string;
  expected: string;
}

/** Everything that the observers of one run wrote, by kind, in the order of its files. */
export type Ledger = { [K in LedgerRecord['kind']]: Extract<LedgerRecord, { kind: K }>[] };

export const emptyLedger = (): Ledger => ({
  registered: [],
  rotated: [],
  asked: [],
  answered: [],
  received: [],
  replied: [],
  subscribed: [],
  pushed: [],
  listed: [],
  shown: [],
  disturbed: [],
  healed: [],
  rested: [],
  ended: [],
  complained: [],
  sampled: [],
  measured: [],
});

/** @throws SyntaxError for a line that is not JSON: a ledger with a damaged line proves nothing */
export function parseLedger(text: string): Ledger {
  const ledger = emptyLedger();
  for (const line of text.split('\n')) {
    if (line === '') continue;
    const record = JSON.parse(line) as LedgerRecord;
    (ledger[record.kind] as LedgerRecord[]).push(record);
  }
  return ledger;
}

/** The rows of the run in the product's tables at the end. */
export interface Dump {
  events: { id: string; ownerId: string | null; body: string }[];
  deliveries: {
    id: string;
    eventId: string;
    webhookId: string;
    status: string;
    /** Unix ms of its final state; null: not final. */
    completedAt: number | null;
  }[];
  attempts: {
    deliveryId: string;
    statusCode: number | null;
    error: string | null;
    /** Its request was sent twice. */
    resent: boolean;
  }[];
  /** Circuits of webhooks that have failed. */
  circuits: { webhookId: string; state: string; failures: number; isProbing: boolean }[];
}

/** The input of the checker. */
export interface History {
  ledger: Ledger;
  dump: Dump;
}

/**
 * What the observers of a fault run write down, one JSON line each. Nobody writes what they believe:
 * a producer writes what it asked and was answered, a receiver what came and what it answered, a
 * socket client what it heard, and the harness what it did to the product. Times are Unix ms.
 */
export type LedgerRecord =
  | Registered
  | Rotated
  | Asked
  | Answered
  | Received
  | Replied
  | Subscribed
  | Heard
  | Listed
  | Shown
  | Disturbed
  | Healed
  | Rested
  | Ended
  | Complained
  | Sampled
  | Measured;

/** A webhook, once the API has answered that it exists. */
export interface Registered {
  kind: 'registered';
  at: number;
  webhookId: string;
  /** null: the operator's. */
  ownerId: string | null;
  events: string[];
  ordering: 'none' | 'fifo';
  /** Most requests in any time of this length; null: as many as there are. */
  rateLimit: { max: number; perMs: number } | null;
  /** Most events in a request; null: each event has one of its own. */
  batch: { maxEvents: number } | null;
  secret: string;
  timeoutMs: number;
  /** Failures in a row that open its circuit. */
  opensAfter: number;
  /** Whether its receiver answers at the end: then its circuit has to be closed. */
  isHealthy: boolean;
}

/** A further secret; the one before stays valid until then. */
export interface Rotated {
  kind: 'rotated';
  at: number;
  webhookId: string;
  secret: string;
  previousUntil: number;
}

/** A publication, before its first request; repeated requests are not asked again. */
export interface Asked {
  kind: 'asked';
  at: number;
  /** Its idempotency key, and a member of its data: known before any id is. */
  nonce: string;
  /** null: public. */
  ownerId: string | null;
  type: string;
  /** Counted per producer, which asks one after the other. */
  producer: string;
  seq: number;
}

/** One answer to one request of a publication. */
export interface Answered {
  kind: 'answered';
  at: number;
  nonce: string;
  /** 0: no answer came. */
  status: number;
  eventId: string | null;
}

/** One request that a receiver has read to its end. */
export interface Received {
  kind: 'received';
  at: number;
  /** The receiver's own number for it. */
  receipt: string;
  webhookId: string;
  /** What the signature is of: the id of the event, or of the batch. */
  messageId: string;
  /** Empty for a batch. */
  deliveryId: string;
  /** How many events it says that it has; null: it is no batch. */
  batchSize: number | null;
  timestamp: string;
  signature: string;
  body: string;
}

/** What a receiver answered; a receipt without one was never answered. */
export interface Replied {
  kind: 'replied';
  at: number;
  receipt: string;
  /** 0: nothing that is an answer; -1: something that may be taken for a success or for a failure. */
  status: number;
}

/** A socket client is connected, and hears from now on. */
export interface Subscribed {
  kind: 'subscribed';
  at: number;
  ownerId: string;
  /** The types that it hears. */
  pattern: string;
  /** The event that it asked to go on after; null: from now on. */
  after: string | null;
  /** Whether the server says that it is given what came after that. */
  isRecovered: boolean;
}

/** An event that a socket client was sent. */
export interface Heard {
  kind: 'heard';
  at: number;
  ownerId: string;
  eventId: string;
  body: string;
}

/** What an owner was shown by the API. */
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

/** A process was killed or stood still: attempts in flight meanwhile may be made once more. */
export interface Disturbed {
  kind: 'disturbed';
  from: number;
  until: number;
  what: string;
}

/** The fault is over; from here recovery is counted. */
export interface Healed {
  kind: 'healed';
  at: number;
  fault: string;
}

/** Nothing of what was accepted before the end of the fault is owed any more. */
export interface Rested {
  kind: 'rested';
  at: number;
}

/** How a process ended, and how it should have. */
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

/** A gauge after quiescence, and what it must show then. */
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
  heard: [],
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

/** What the product's own tables say at the end, as far as it concerns the run. */
export interface Dump {
  events: { id: string; ownerId: string | null; body: string }[];
  deliveries: {
    id: string;
    eventId: string;
    webhookId: string;
    status: string;
    /** Unix ms at which it came into a final state; null: it is in none. */
    completedAt: number | null;
  }[];
  attempts: { deliveryId: string; statusCode: number | null; error: string | null }[];
  /** Those that something is or was known against. */
  circuits: { webhookId: string; state: string; failures: number; isProbing: boolean }[];
}

/** What the checker judges. */
export interface History {
  ledger: Ledger;
  dump: Dump;
}

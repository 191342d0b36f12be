import { mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiClient } from '../support/api-client.js';
import { adminToken, tokenFor } from '../support/tokens.js';
import { judge, type Verdict } from './checker/checker.js';
import {
  countPending,
  countRest,
  dumpDatabase,
  type Pending,
  type Rest,
} from './ledger/database-dump.js';
import { LedgerFile, readLedger } from './ledger/ledger-file.js';
import type { LedgerRecord } from './ledger/records.js';
import type { Endpoint, Fault } from './nemesis/fault.js';
import type { Random } from './nemesis/random.js';
import { Listener } from './site/listener.js';
import { policyEndpoints } from './site/policy-endpoints.js';
import { Producer } from './site/producer.js';
import { Receivers } from './site/receiver.js';
import { OPENS_AFTER, type Site, TIMEOUT_MS } from './site/site.js';

/** The load before, during and after a fault. */
const WARM_UP_MS = 500;
const AFTERMATH_MS = 1_000;
const GAP_MS = 25;
/** Limits a run of several minutes; per producer. */
const MAX_EVENTS = 5_000;
const REST_EVERY_MS = 100;
/** Time beyond the budget, to see that a late recovery did happen. */
const REST_SLACK_MS = 10_000;
const READY_MS = 10_000;
/** For an orderly stop without requests in flight, on a busy machine. */
const STOP_MS = 12_000;
const OWNERS = ['ada', 'bob'];

/** What a run does with the processes at its end: SIGTERM proves that no fault keeps one from stopping. */
export type End = 'go on' | 'restart' | 'stop';

let runs = 0;

/** Moves a ledger out of the directory that is removed at the end. */
function kept(directory: string): string {
  const place = join(mkdtempSync(join(tmpdir(), 'tidings-broken-')), 'ledger');
  renameSync(directory, place);
  return place;
}

/**
 * One fault on a site under load, from the first event to the verdict: all events that were accepted
 * before, during and after it must be delivered or final when the site is at rest.
 */
export class Run {
  private readonly directory: string;
  private readonly observers: LedgerFile[] = [];
  private readonly write: (record: LedgerRecord) => void;
  private readonly prefix = `f${process.pid}-${runs++}`;
  private producers: Producer[] = [];
  private listeners: Listener[] = [];

  private receivers!: Receivers;

  private constructor(
    private readonly site: Site,
    private readonly random: Random,
    private readonly fault: Fault,
    private readonly end: End,
  ) {
    this.directory = mkdtempSync(join(site.directory, 'ledger-'));
    this.write = this.observer('harness');
  }

  /**
   * Returns the verdict; keeps the ledger if there are problems.
   * @param end what becomes of the processes, after all else
   */
  static async of(fault: Fault, site: Site, random: Random, end: End): Promise<Verdict> {
    const run = new Run(site, random, fault, end);
    run.receivers = await Receivers.open(run.observer('receivers'));
    site.record = run.write;
    try {
      return await run.runFault();
    } finally {
      site.record = () => undefined;
      for (const listener of run.listeners) listener.close();
      await run.receivers.close();
    }
  }

  private async runFault(): Promise<Verdict> {
    await this.prepare();
    const publisher = this.producer('fault', 'ada');
    const { site, random, receivers, prefix } = this;
    let drained: Promise<number> = Promise.resolve(0);
    const sampling = setInterval(() => this.sample(), 1_000);
    try {
      for (const producer of this.producers) producer.start(GAP_MS, MAX_EVENTS);
      await delay(WARM_UP_MS);
      await this.fault.inflict({
        site,
        random,
        receivers,
        publisher,
        prefix,
        isAlone: true,
      });
      const healedAt = Date.now();
      this.write({ kind: 'healed', at: healedAt, fault: this.fault.name });
      drained = this.rest(healedAt);
      await delay(AFTERMATH_MS);
    } finally {
      await Promise.all(this.producers.map((producer) => producer.stop()));
      clearInterval(sampling);
    }
    const at = await drained;
    if (at > 0) {
      this.write({ kind: 'rested', at });
      await this.rest(Date.now());
    }
    return this.verdict();
  }

  private observer(name: string): (record: LedgerRecord) => void {
    const file = new LedgerFile(this.directory, name);
    this.observers.push(file);
    return (record) => file.write(record);
  }

  private producer(name: string, ownerId: string | null): Producer {
    const write = this.observer(name);
    return new Producer(name, ownerId, this.prefix, () => this.site.api.baseUrl, write);
  }

  private async prepare(): Promise<void> {
    await this.register('of-ada', { ownerId: 'ada' });
    await this.register('of-bob', { ownerId: 'bob' });
    await this.register('of-operator', { ownerId: null, events: [`${this.prefix}.two.*`] });
    for (const { name, behaviour, ...endpoint } of policyEndpoints(this.prefix)) {
      await this.register(name, { ownerId: 'bob', ...endpoint });
      this.receivers.behave(name, behaviour);
    }
    for (const [name, more] of Object.entries(this.fault.endpoints?.(this.prefix) ?? {})) {
      await this.register(name, more);
    }
    this.producers = [
      this.producer('ada', 'ada'),
      this.producer('bob', 'bob'),
      this.producer('operator', null),
    ];
    this.listeners = OWNERS.map((owner) => {
      const write = this.observer(`socket-${owner}`);
      return new Listener(owner, `${this.prefix}.*`, () => this.site.api.baseUrl, write);
    });
  }

  private async register(name: string, more: Partial<Endpoint> = {}): Promise<void> {
    const { ownerId = 'ada', events = [`${this.prefix}.one`, `${this.prefix}.two.*`] } = more;
    const settings = more.settings ?? {};
    const { id, secret } = await this.apiOf(ownerId).webhook(
      this.receivers.url(name),
      events,
      settings,
    );
    this.receivers.belongsTo(name, id);
    this.write({
      kind: 'registered',
      at: Date.now(),
      webhookId: id,
      ownerId,
      events,
      ordering: settings.ordering ?? 'none',
      rateLimit: settings.rateLimit ?? null,
      batch: settings.batch ?? null,
      secret,
      timeoutMs: settings.timeoutMs ?? TIMEOUT_MS,
      opensAfter: OPENS_AFTER,
      isHealthy: more.isHealthy ?? true,
    });
  }

  private apiOf(ownerId: string | null): ApiClient {
    const token = ownerId === null ? adminToken() : tokenFor(ownerId);
    return new ApiClient(this.site.api.baseUrl, token);
  }

  private sample(): void {
    for (const member of this.site.all) member.sample();
  }

  /**
   * Waits until no event that was accepted until then is pending, or the budget is over.
   * @returns when that was; 0 if it was not reached
   */
  private async rest(acceptedUntil: number): Promise<number> {
    const deadline = performance.now() + this.fault.budget.drainedMs + REST_SLACK_MS;
    for (;;) {
      const pending = await this.pending(acceptedUntil).catch(() => undefined);
      if (pending && Object.values(pending).every((count) => count === 0)) return Date.now();
      if (performance.now() > deadline) return 0;
      await delay(REST_EVERY_MS);
    }
  }

  private async pending(acceptedUntil: number): Promise<Pending> {
    return countPending(await this.site.database(), this.prefix, acceptedUntil);
  }

  /** Waits until system events are delivered too. */
  private async restOfAll(): Promise<Rest> {
    let rest: Rest | undefined;
    await waitUntil(async () => {
      rest = await countRest(await this.site.database());
      return Object.values(rest).every((count) => count === 0);
    });
    return rest!;
  }

  private async verdict(): Promise<Verdict> {
    for (const member of this.site.all) member.listen();
    await this.listenersHaveAll();
    await this.list();
    await this.show();
    await this.measure();
    if (this.end !== 'go on') await this.stopAll();
    const dump = await dumpDatabase(await this.site.database(), this.prefix);
    for (const observer of this.observers) observer.close();
    if (this.end === 'restart') await this.site.startAgain();
    if (this.end !== 'stop') await this.unregister();
    const verdict = judge({ ledger: readLedger(this.directory), dump }, this.fault.budget);
    if (verdict.problems.length === 0) rmSync(this.directory, { recursive: true });
    else verdict.problems.push(`the ledger is in ${kept(this.directory)}`);
    return verdict;
  }

  /** Removes the webhooks, so that the next run has no load and no leases of this one. */
  private async unregister(): Promise<void> {
    for (const { webhookId, ownerId } of readLedger(this.directory).registered) {
      await this.apiOf(ownerId).delete(`/webhooks/${webhookId}`);
    }
  }

  /** Records the lists that the API shows to each owner. */
  private async list(): Promise<void> {
    for (const ownerId of OWNERS) {
      for (const what of ['events', 'webhooks', 'deliveries'] as const) {
        const { data } = await this.apiOf(ownerId).get(`/${what}?limit=200`);
        const ids = data.map(({ id }) => id);
        this.write({ kind: 'listed', at: Date.now(), ownerId, what, ids });
      }
    }
  }

  /** Waits for missing events on sockets, because the gap filler runs only once a second. */
  private async listenersHaveAll(): Promise<void> {
    const events = await this.site.query<{ id: string; owner_id: string | null }>(
      'SELECT id, owner_id FROM events WHERE starts_with(type, $1)',
      [`${this.prefix}.`],
    );
    await waitUntil(() =>
      this.listeners.every((listener) =>
        events.every(({ id, owner_id }) =>
          [null, listener.ownerId].includes(owner_id) ? listener.has(id) : true,
        ),
      ),
    );
  }

  /** Records how the API shows each webhook to its owner. */
  private async show(): Promise<void> {
    for (const { webhookId, ownerId } of readLedger(this.directory).registered) {
      const api = this.apiOf(ownerId);
      const { active } = await api.get(`/webhooks/${webhookId}`);
      const { circuit } = await api.get(`/webhooks/${webhookId}/stats`);
      const { state } = circuit as { state: string };
      this.write({ kind: 'shown', at: Date.now(), webhookId, active, circuit: state });
    }
  }

  /** No fault may leave a process that does not end. With which code is recorded by each itself. */
  private async stopAll(): Promise<void> {
    for (const listener of this.listeners) listener.close();
    for (const [name, tookMs] of await this.site.stopInOrder()) {
      const inTime = tookMs <= STOP_MS ? 'in time' : `after ${Math.round(tookMs)} ms`;
      this.record(`the end of ${name}`, inTime, 'in time');
    }
  }

  private record(gauge: string, value: unknown, expected: string): void {
    this.write({ kind: 'measured', at: Date.now(), gauge, value: String(value), expected });
  }

  private async measure(): Promise<void> {
    const measure = this.record.bind(this);
    const pending = await this.pending(Date.now());
    for (const [gauge, count] of Object.entries(pending)) measure(gauge, count, '0');
    const rest = await this.restOfAll();
    for (const [gauge, count] of Object.entries(rest))
      measure(`${gauge} of all owners`, count, '0');
    for (const { name, baseUrl } of this.site.all) {
      measure(`readiness of ${name}`, await readiness(baseUrl), 'ok');
    }
  }
}

/** The readiness of a process, which checks its stores at intervals. */
async function readiness(baseUrl: string): Promise<unknown> {
  let status: unknown;
  await waitUntil(async () => {
    const answer = await new ApiClient(baseUrl, undefined).request('GET', '//health/ready');
    const isReady = answer.body['status'] === 'ok';
    status = isReady ? 'ok' : JSON.stringify(answer.body['details'] ?? answer.body);
    return isReady;
  });
  return status;
}

/** Waits until the condition holds, or the time is over; the checker finds what is missing. */
async function waitUntil(isDone: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + READY_MS;
  while (!(await isDone()) && performance.now() < deadline) await delay(REST_EVERY_MS);
}

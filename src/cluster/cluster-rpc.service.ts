import { randomUUID } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import {
  Injectable,
  Logger,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import type { z } from 'zod';
import { RealtimeBus } from './realtime-bus.client.js';
import { Here, PeerAnswer, Question } from './rpc-messages.js';
import { NodeList } from './node-list.js';

const BEAT_MS = 1_000;
/** Some beats may get lost. */
const SILENCE_MS = 3_500;
/** For everybody to answer: some milliseconds where everything is well. */
const DEADLINE_MS = 1_000;

/** What came of a question. */
export interface Answers<T> {
  /** One of each process that has answered, this one included. */
  answers: T[];
  /** False: some process did not answer in time, or cannot be reached at the moment. */
  isComplete: boolean;
}

type NoteHandler = (payload: unknown, node: string) => void;

interface Waiting {
  missing: Set<string>;
  answers: unknown[];
  /** All have answered. */
  settle(): void;
}

/**
 * The other processes with connections: writes to them, and asks them. Who they are is known from
 * what they say every second, so one that was killed is no longer waited for after some seconds.
 * Without Redis there is nobody else, and every question is answered here.
 */
@Injectable()
export class ClusterRpc implements OnApplicationBootstrap, OnModuleDestroy {
  private readonly logger = new Logger(ClusterRpc.name);
  private readonly roster = new NodeList(SILENCE_MS);
  private readonly handlers = new Map<string, NoteHandler>();
  private readonly questions = new Map<string, (payload: unknown) => unknown>();
  private readonly waiting = new Map<string, Waiting>();
  private readonly goneListeners: ((node: string) => void)[] = [];
  private timer: NodeJS.Timeout | undefined;
  /** Until then there may be processes that have not been heard of yet. */
  private acquaintedAtMs = Infinity;

  constructor(private readonly bus: RealtimeBus) {
    this.hear('here', (payload, node) => this.meet(Here.parse(payload), node));
    this.hear('bye', (_, node) => this.lose(node));
    this.hear('question', (payload, node) => this.reply(Question.parse(payload), node));
    this.hear('answer', (payload, node) => this.collect(PeerAnswer.parse(payload), node));
  }

  async onApplicationBootstrap(): Promise<void> {
    await this.bus.hear((note, node) => this.handle(note.kind, note.payload, node));
    this.beat(true);
    this.acquaintedAtMs = performance.now() + BEAT_MS + DEADLINE_MS;
    this.timer = setInterval(() => this.tick(), BEAT_MS).unref();
  }

  onModuleDestroy(): void {
    clearInterval(this.timer);
    this.tell('bye', {});
  }

  /** Writes to one process, or to all others. Never waits and never throws; a note may get lost. */
  tell(kind: string, payload: unknown, to?: string): void {
    this.bus.tell({ kind, payload, ...(to !== undefined && { to }) });
  }

  /** What is done with notes of a kind. The payload is not checked; what it throws is logged. */
  hear(kind: string, handler: NoteHandler): void {
    this.handlers.set(kind, handler);
  }

  /** This process answers a question from now on, its own and that of others. */
  answer(question: string, handler: (payload: unknown) => unknown): void {
    this.questions.set(question, handler);
  }

  /** Calls back when a process has ended or cannot be reached any more. */
  whenGone(listener: (node: string) => void): void {
    this.goneListeners.push(listener);
  }

  /**
   * Asks all processes that have connections. Waits a second at most.
   *
   * @param answer what each has to say; anything else is no answer
   */
  async ask<T>(question: string, payload: unknown, answer: z.ZodType<T>): Promise<Answers<T>> {
    const { answers, isComplete } = await this.askAll(question, payload);
    const checked = answers.map((each) => answer.safeParse(each));
    return {
      answers: checked.flatMap(({ success, data }) => (success ? [data] : [])),
      isComplete: isComplete && checked.every(({ success }) => success),
    };
  }

  private async askAll(question: string, payload: unknown): Promise<Answers<unknown>> {
    const here = this.questions.get(question);
    const local = here ? [here(payload)] : [];
    const isAcquainted = performance.now() >= this.acquaintedAtMs;
    const missing = new Set(this.roster.answering());
    if (this.bus.isAlone || (isAcquainted && missing.size === 0 && this.bus.isConnected)) {
      return { answers: local, isComplete: true };
    }
    if (!this.bus.isConnected) return { answers: local, isComplete: false };
    const { answers, isComplete } = await this.askOthers({ question, payload }, missing);
    return { answers: [...local, ...answers], isComplete };
  }

  /** @param missing empty: nobody is known yet, and whoever answers in time counts */
  private async askOthers(
    asked: Omit<Question, 'id'>,
    missing: Set<string>,
  ): Promise<{ answers: unknown[]; isComplete: boolean }> {
    const id = randomUUID();
    const answers: unknown[] = [];
    const isComplete = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(() => resolve(missing.size === 0), DEADLINE_MS);
      const settle = () => {
        clearTimeout(timer);
        resolve(true);
      };
      this.waiting.set(id, { missing, answers, settle });
      this.tell('question', { id, ...asked } satisfies Question);
    });
    this.waiting.delete(id);
    return { answers, isComplete };
  }

  private reply({ id, question, payload }: Question, node: string): void {
    const handler = this.questions.get(question);
    if (handler) this.tell('answer', { id, payload: handler(payload) } satisfies PeerAnswer, node);
  }

  private collect({ id, payload }: PeerAnswer, node: string): void {
    const waiting = this.waiting.get(id);
    if (!waiting) return;
    waiting.answers.push(payload);
    if (waiting.missing.delete(node) && waiting.missing.size === 0) waiting.settle();
  }

  private handle(kind: string, payload: unknown, node: string): void {
    try {
      this.handlers.get(kind)?.(payload, node);
    } catch (error) {
      this.logger.warn(`a note ${kind} of ${node} is not understood: ${String(error)}`);
    }
  }

  private meet({ answers, isNew }: Here, node: string): void {
    this.roster.heard(node, answers, performance.now());
    if (isNew) this.beat(false);
  }

  private lose(node: string): void {
    if (this.roster.remove(node)) for (const listener of this.goneListeners) listener(node);
  }

  private tick(): void {
    this.beat(false);
    for (const node of this.roster.expire(performance.now())) {
      for (const listener of this.goneListeners) listener(node);
    }
  }

  private beat(isNew: boolean): void {
    this.tell('here', { answers: this.questions.size > 0, isNew } satisfies Here);
  }
}

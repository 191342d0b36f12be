import { type Backoff, DEFAULT_BACKOFF } from './backoff.js';
import { guarded, uncaught } from './callback.js';
import { Connection } from './connection.js';
import { Credential } from './credential.js';
import { type EventOf, isEvent, type TopicOf } from './events.js';
import { HandOver } from './hand-over.js';
import { Messages, type ReceivedMessage } from './messages.js';
import { Position } from './position.js';
import { type Attempts, type Ending, NO_ATTEMPTS, nextStep } from './reconnection.js';
import type { Runtime } from './runtime.js';
import { type Gap, Session } from './session.js';
import { type Handler, Listener, Subscriptions } from './subscriptions.js';
import { asTidingsError, TidingsError } from './tidings-error.js';
import type { Answer, Transport } from './transport.js';

export type ClientState = 'connecting' | 'connected' | 'waiting' | 'closed';

export interface ClientOptions {
  /** Where Tidings is, e.g. `https://tidings.example.com`. */
  url: string;
  /** Who is listening. One that ends while the client lives is better given by `getToken`. */
  token?: string | undefined;
  /** Asked for a token before each connection, and before the present one ends. */
  getToken?: (() => string | Promise<string>) | undefined;
  /** How frames travel: `webSocket()`, `socketIo(io)`, or one of your own. */
  transport: Transport;
  /** The last event of an earlier life: what was missed since comes first. */
  after?: string | undefined;
  /**
   * How many of the latest event ids are remembered, so that none of them is handed over twice.
   * Default 10,000, which is about 1 MB.
   */
  windowSize?: number;
  /**
   * How much more than what was missed is asked for after a short absence, in milliseconds: events
   * that were late when the connection ended are among it, and what has come already is dropped.
   * Default 5,000.
   */
  overlapMs?: number;
  backoff?: Partial<Backoff>;
  /** The longest silence while the server owes an answer, in milliseconds. Default 20,000. */
  timeoutMs?: number;
  /** Events were missed, and the log does not hold them any more: load the present state anew. */
  onGap?: (gap: Gap) => void;
  /**
   * Something failed: a connection (the client comes back, unless the state becomes `closed`), a
   * subscription, a handler. What a handler throws is thrown on, uncaught, if there is no `onError`.
   */
  onError?: (error: TidingsError) => void;
  onState?: (state: ClientState) => void;
  /** Whenever {@link TidingsClient.lastEventId} has moved: the moment to keep it. */
  onPosition?: (lastEventId: string) => void;
}

export interface Subscription {
  /** Fulfilled when the server has taken the topics; rejected if it refuses them. */
  readonly ready: Promise<void>;
  /** The handler is not called again. */
  readonly unsubscribe: () => void;
}

/** Made by `connect`. Has one position in the stream of events, which all subscriptions share. */
export class TidingsClient<Events extends object = Record<string, unknown>> {
  /** Broadcast, private and chat messages. */
  readonly messages = new Messages((name, payload) => this.request(name, payload));
  private readonly stopped = new AbortController();
  private readonly subscriptions = new Subscriptions();
  private readonly handOver = new HandOver();
  private readonly position: Position;
  private readonly credential: Credential;
  private readonly tellGap: (gap: Gap) => void;
  private readonly tellError: (error: TidingsError) => void;
  private readonly tellState: (state: ClientState) => void;
  private connection: Connection | undefined;
  private session: Session | undefined;
  private currentState: ClientState = 'connecting';

  /** @internal */
  constructor(
    private readonly options: ClientOptions,
    private readonly runtime: Runtime,
  ) {
    const { after, windowSize = 10_000, overlapMs = 5_000 } = options;
    this.position = new Position(after, {
      windowSize,
      overlapMs,
      now: () => runtime.now(),
      onMove: guarded(options.onPosition),
    });
    this.tellGap = guarded(options.onGap);
    this.tellError = guarded(options.onError);
    this.tellState = guarded(options.onState);
    this.credential = new Credential(options, runtime);
    // Later, so that subscriptions made right after `connect` are there from the beginning.
    queueMicrotask(() => void this.run());
  }

  get state(): ClientState {
    return this.currentState;
  }

  /**
   * The event to go on `after` in a next life. Every event before it has been handed over, and its
   * handlers have finished; some after it may have been as well.
   */
  get lastEventId(): string | undefined {
    return this.position.lastEventId;
  }

  /**
   * Calls the handler for each event of these topics, in order, one at a time: a promise that it
   * returns is waited for. Subscriptions that are made before the client is connected for the first
   * time begin at `after`; later ones begin now.
   */
  subscribe<const Topics extends readonly TopicOf<Events>[]>(
    topics: Topics,
    handler: (event: EventOf<Events, Topics[number]>) => unknown,
  ): Subscription {
    const listener = new Listener([...topics], handler as Handler);
    if (this.currentState === 'closed') {
      listener.refused(closed());
    } else {
      this.subscriptions.add(listener);
      this.session?.join();
    }
    return { ready: listener.ready, unsubscribe: () => this.unsubscribe(listener) };
  }

  /** Ends the connection for good. Events that wait for a handler are not handed over any more. */
  close(): void {
    this.shutDown(closed());
  }

  private unsubscribe(listener: Listener): void {
    if (!listener.isActive) return;
    this.subscriptions.delete(listener);
    this.session?.leave(listener.topics);
  }

  private async run(): Promise<void> {
    let attempts: Attempts = NO_ATTEMPTS;
    const { signal } = this.stopped;
    while (!signal.aborted) {
      this.setState('connecting');
      const ending = await this.connectOnce();
      if (signal.aborted) return;
      const step = nextStep(ending, attempts, {
        backoff: { ...DEFAULT_BACKOFF, ...this.options.backoff },
        canRenew: this.credential.isRenewable,
        random: this.runtime.random(),
      });
      if (step.kind === 'stop') {
        this.shutDown(step.error);
        this.tellError(step.error);
        return;
      }
      attempts = step.attempts;
      this.setState('waiting');
      this.tellError(step.error);
      await this.runtime.sleep(step.delayMs, signal);
    }
  }

  /** A connection from its beginning to its end. */
  private async connectOnce(): Promise<Ending> {
    try {
      const token = await this.credential.token();
      if (this.stopped.signal.aborted) return { reason: 'closed', connectedMs: 0 };
      this.connection = this.open(token);
      return await this.connection.ended;
    } catch (error) {
      const refusal = asTidingsError('connection_lost', error);
      return { reason: refusal.message, refusal, connectedMs: 0 };
    } finally {
      this.connection = undefined;
      this.session = undefined;
    }
  }

  private open(token: string | undefined): Connection {
    const { url, transport, timeoutMs = 20_000 } = this.options;
    const connection: Connection = new Connection(
      {
        url,
        token,
        transport,
        timeoutMs,
        onWelcome: () => this.begin(connection, token),
        onFrame: (name, payload) => this.read(name, payload),
      },
      this.runtime,
    );
    return connection;
  }

  private begin(connection: Connection, token: string | undefined): void {
    this.setState('connected');
    this.session = new Session(connection, this.subscriptions, this.position, this.handOver, {
      onGap: this.tellGap,
      onRefused: (listener, error) => {
        this.subscriptions.delete(listener);
        listener.refused(error);
        this.tellError(error);
      },
    });
    this.credential
      .keepFresh(connection, token)
      .catch((error: unknown) => this.tellError(asTidingsError('connection_lost', error)));
  }

  private read(name: string, payload: unknown): void {
    if (name === 'message') this.messages.receive(payload as ReceivedMessage);
    if (name !== 'event' || !isEvent(payload)) return;
    const isResumable = payload.transient !== true;
    if (isResumable && !this.position.receive(payload.id)) return;
    const handedOver = () => {
      if (isResumable) this.position.handOver(payload.id);
    };
    this.handOver.push(() => {
      const pending = this.subscriptions.tell(payload, (error) => this.handlerFailed(error));
      return pending ? pending.then(handedOver) : handedOver();
    });
  }

  private handlerFailed(cause: unknown): void {
    if (this.options.onError) {
      const message = `A handler failed: ${String(cause)}`;
      return this.tellError(new TidingsError('handler_failed', message, { cause }));
    }
    uncaught(cause);
  }

  private async request(name: string, payload: object): Promise<Answer> {
    if (!this.connection?.isOpen) {
      throw new TidingsError('not_connected', 'There is no connection at the moment.');
    }
    const answer = await this.connection.request(name, payload);
    if (!answer.ok) throw TidingsError.of(answer.error);
    return answer;
  }

  private setState(state: ClientState): void {
    this.currentState = state;
    this.tellState(state);
  }

  private shutDown(error: TidingsError): void {
    if (this.currentState === 'closed') return;
    this.stopped.abort();
    this.handOver.clear();
    this.connection?.close();
    for (const listener of this.subscriptions.all) {
      this.subscriptions.delete(listener);
      listener.refused(error);
    }
    this.setState('closed');
  }
}

const closed = () => new TidingsError('closed', 'This client has been closed.');

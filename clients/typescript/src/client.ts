import { type Backoff, DEFAULT_BACKOFF } from './backoff.js';
import { guarded, uncaught } from './callback.js';
import { Connection } from './connection.js';
import { Credential } from './credential.js';
import { type EventOf, isEvent, type TopicOf } from './events.js';
import { SerialQueue } from './serial-queue.js';
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
  /** Authenticates the client. For tokens that expire while the client runs use `getToken`. */
  token?: string | undefined;
  /** Called for a token before each connection, and before the current token expires. */
  getToken?: (() => string | Promise<string>) | undefined;
  /** How frames are sent: `webSocket()`, `socketIo(io)`, or an implementation of your own. */
  transport: Transport;
  /** {@link TidingsClient.lastEventId} before a restart of the application; the client resumes there. */
  after?: string | undefined;
  /**
   * How many of the latest event ids are remembered, so that handlers get none of them twice.
   * Default 10,000, which is about 1 MB.
   */
  windowSize?: number;
  /**
   * How far before the last event the client resumes after a short absence, in milliseconds. This
   * includes events that were late when the connection ended; events that were already received are
   * dropped. Default 5,000.
   */
  overlapMs?: number;
  backoff?: Partial<Backoff>;
  /** How long the server may send nothing while a request is open, in milliseconds. Default 20,000. */
  timeoutMs?: number;
  /** Events were missed that are no longer in the log: load the current state again. */
  onGap?: (gap: Gap) => void;
  /**
   * Something failed: a connection (the client reconnects, unless the state becomes `closed`), a
   * subscription, or a handler. Without `onError`, errors of handlers are thrown as uncaught errors.
   */
  onError?: (error: TidingsError) => void;
  onState?: (state: ClientState) => void;
  /** Called whenever {@link TidingsClient.lastEventId} has changed: store it here. */
  onPosition?: (lastEventId: string) => void;
}

export interface Subscription {
  /** Fulfilled when the server has accepted the topics; rejected if it refuses them. */
  readonly ready: Promise<void>;
  /** Ends the subscription; its handler is not called again. */
  readonly unsubscribe: () => void;
}

/** Created by `connect`. Has one position in the stream of events, which all subscriptions share. */
export class TidingsClient<Events extends object = Record<string, unknown>> {
  /** Broadcast, private and chat messages. */
  readonly messages = new Messages((name, payload) => this.request(name, payload));
  private readonly stopped = new AbortController();
  private readonly subscriptions = new Subscriptions();
  private readonly handlerQueue = new SerialQueue();
  private readonly position: Position;
  private readonly credential: Credential;
  private readonly notifyGap: (gap: Gap) => void;
  private readonly notifyError: (error: TidingsError) => void;
  private readonly notifyState: (state: ClientState) => void;
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
    this.notifyGap = guarded(options.onGap);
    this.notifyError = guarded(options.onError);
    this.notifyState = guarded(options.onState);
    this.credential = new Credential(options, runtime);
    // Later, so that subscriptions made right after `connect` are part of the first request.
    queueMicrotask(() => void this.run());
  }

  get state(): ClientState {
    return this.currentState;
  }

  /**
   * The event to pass as `after` after a restart; before the first event, a position in the log. The
   * handlers of every event before it have finished;
   * those of some events after it may have finished too.
   */
  get lastEventId(): string | undefined {
    return this.position.lastEventId;
  }

  /**
   * Calls the handler for each event of these topics, in order, one at a time: if it returns a
   * promise, the next event waits for it. Subscriptions that are made before the first connection
   * begin at `after`; later ones begin now.
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

  /** Closes the client for good. Events that wait for a handler are dropped. */
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
        this.notifyError(step.error);
        return;
      }
      attempts = step.attempts;
      this.setState('waiting');
      this.notifyError(step.error);
      await this.runtime.sleep(step.delayMs, signal);
    }
  }

  /** Opens one connection and waits for its end. */
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
    this.session = new Session(connection, this.subscriptions, this.position, this.handlerQueue, {
      onGap: this.notifyGap,
      onRefused: (listener, error) => {
        this.subscriptions.delete(listener);
        listener.refused(error);
        this.notifyError(error);
      },
    });
    this.credential
      .keepFresh(connection, token)
      .catch((error: unknown) => this.notifyError(asTidingsError('connection_lost', error)));
  }

  private read(name: string, payload: unknown): void {
    if (name === 'message') this.messages.receive(payload as ReceivedMessage);
    if (name !== 'event' || !isEvent(payload)) return;
    const isResumable = payload.transient !== true;
    if (isResumable && !this.position.receive(payload.id)) return;
    const markHandled = () => {
      if (isResumable) this.position.markHandled(payload.id);
    };
    this.handlerQueue.push(() => {
      const pending = this.subscriptions.dispatch(payload, (error) => this.handlerFailed(error));
      return pending ? pending.then(markHandled) : markHandled();
    });
  }

  private handlerFailed(cause: unknown): void {
    if (this.options.onError) {
      const message = `A handler failed: ${String(cause)}`;
      return this.notifyError(new TidingsError('handler_failed', message, { cause }));
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
    this.notifyState(state);
  }

  private shutDown(error: TidingsError): void {
    if (this.currentState === 'closed') return;
    this.stopped.abort();
    this.handlerQueue.clear();
    this.connection?.close();
    for (const listener of this.subscriptions.all) {
      this.subscriptions.delete(listener);
      listener.refused(error);
    }
    this.setState('closed');
  }
}

const closed = () => new TidingsError('closed', 'This client has been closed.');

import { uncaught } from './callback.js';
import type { ClientEvents, ClientOptions, ClientState } from './client-options.js';
import { Connection, type Welcome } from './connection.js';
import { ConnectionLoop } from './connection-loop.js';
import { Credential } from './credential.js';
import { Emitter } from './emitter.js';
import { type EventOf, isEvent, type Topic, type TopicOf } from './events.js';
import { HttpClient } from './http-client.js';
import { SerialQueue } from './serial-queue.js';
import { Messages, type ReceivedMessage } from './messages.js';
import { Position } from './position.js';
import { Presence, type PresenceChange } from './presence.js';
import {
  type EventToPublish,
  type HistoryQuery,
  type LoggedEvent,
  type NewEvent,
  type Published,
  type PublishedBatch,
  Publisher,
  type PublishOptions,
} from './publisher.js';
import type { Runtime } from './runtime.js';
import { Session } from './session.js';
import { type Handler, Listener, type Subscription, Subscriptions } from './subscriptions.js';
import { asTidingsError, TidingsError } from './tidings-error.js';
import type { Answer } from './transport.js';

/** Created by `connect`. Has one position in the stream of events, which all subscriptions share. */
export class TidingsClient<Events extends object = Record<string, unknown>> {
  /** Broadcast, private and chat messages. */
  readonly messages: Messages;
  /** Who is subscribed to a topic. */
  readonly presence: Presence;
  private readonly emitter = new Emitter<ClientEvents>();
  private readonly publisher: Publisher;
  /** Aborted when the client is closed. */
  private readonly over = new AbortController();
  /** Aborted when it is disconnected; `connect` makes another. */
  private running = new AbortController();
  private readonly subscriptions = new Subscriptions();
  private readonly handlerQueue = new SerialQueue();
  private readonly position: Position;
  private readonly credential: Credential;
  private connection: Connection | undefined;
  private session: Session | undefined;
  private welcome: Welcome | undefined;
  private currentState: ClientState = 'disconnected';

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
      onMove: (lastEventId) => this.emitter.emit('position', lastEventId),
    });
    const { onGap, onError, onState, onPosition } = options;
    if (onGap) this.on('gap', onGap);
    if (onError) this.on('error', onError);
    if (onState) this.on('state', onState);
    if (onPosition) this.on('position', onPosition);
    this.credential = new Credential(options, runtime);
    const request = (name: string, payload: object) => this.request(name, payload);
    this.messages = new Messages(request, (listener) => this.on('message', listener));
    this.presence = new Presence({
      request,
      pause: (ms) => runtime.sleep(ms, this.over.signal),
      onError: (error) => this.emitter.emit('error', error),
    });
    this.publisher = new Publisher(
      new HttpClient(options, this.credential, runtime),
      this.over.signal,
    );
    if (options.autoConnect !== false) this.start();
  }

  get state(): ClientState {
    return this.currentState;
  }

  /** Of the present connection; a new one has another. Undefined while there is none. */
  get connectionId(): string | undefined {
    return this.welcome?.connectionId;
  }

  /** Calls the listener for each of these; an error in it is thrown as uncaught. @returns removes it */
  on<Name extends keyof ClientEvents>(
    name: Name,
    listener: (value: ClientEvents[Name]) => void,
  ): () => void {
    return this.emitter.on(name, listener);
  }

  /** Removes a listener. */
  off<Name extends keyof ClientEvents>(
    name: Name,
    listener: (value: ClientEvents[Name]) => void,
  ): void {
    this.emitter.off(name, listener);
  }

  /**
   * Connects, after `disconnect` or with `autoConnect: false`, and resumes where it was.
   *
   * @returns fulfilled when there is a connection; rejected (`disconnected`, `closed`) if that was given
   * up before, not by a loss, after which it tries again
   */
  connect(): Promise<void> {
    if (this.currentState === 'disconnected') this.start();
    const connected = this.untilConnected();
    connected.catch(() => undefined);
    return connected;
  }

  /** Ends the connection, until `connect`. Subscriptions and the position are kept. */
  disconnect(): void {
    if (this.currentState === 'closed' || this.currentState === 'disconnected') return;
    this.endRun('disconnected');
  }

  /** Measures a round trip to the server over the connection, in milliseconds. */
  async ping(): Promise<number> {
    const sentAt = this.runtime.now();
    await this.request('ping', {});
    return this.runtime.now() - sentAt;
  }

  /**
   * Publishes an event over REST, with or without a connection; it is sent again if the answer is lost,
   * and published once all the same. For the roles `publisher`, `producer` and `admin`.
   *
   * @returns after it was committed
   * @throws TidingsError with the server's code, and `errors` that name the fields
   */
  publish<Type extends keyof Events & string>(
    event: NewEvent<Type, Events[Type]>,
    options: PublishOptions = {},
  ): Promise<Published> {
    return this.publisher.publish(event, options);
  }

  /** Publishes up to 1,000 events in one commit: all of them, or none. */
  publishBatch(
    events: readonly EventToPublish<Events>[],
    options: PublishOptions = {},
  ): Promise<PublishedBatch> {
    return this.publisher.publishBatch(events, options);
  }

  /** Reads the log over REST, the newest event first: `for await (const event of client.history())`. */
  history(query: HistoryQuery = {}): AsyncGenerator<LoggedEvent, void, undefined> {
    return this.publisher.history(query);
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

  /** Later, so that subscriptions made right after `connect` are part of the first request. */
  private start(): void {
    const { signal } = (this.running = new AbortController());
    this.currentState = 'connecting';
    queueMicrotask(() => void this.loop().run(signal));
  }

  private untilConnected(): Promise<void> {
    if (this.currentState === 'connected') return Promise.resolve();
    if (this.currentState === 'closed') return Promise.reject(closed());
    return new Promise((resolve, reject) => {
      const stop = this.on('state', (state) => {
        if (state === 'connecting' || state === 'waiting') return;
        stop();
        if (state === 'connected') resolve();
        else reject(state === 'closed' ? closed() : disconnected());
      });
    });
  }

  private unsubscribe(listener: Listener): void {
    if (!listener.isActive) return;
    this.subscriptions.delete(listener);
    this.session?.leave(listener.topics);
  }

  private loop(): ConnectionLoop {
    return new ConnectionLoop(this.options.backoff, this.credential, this.runtime, {
      onAttempt: () => this.setState('connecting'),
      open: (token) => (this.connection = this.open(token)),
      onEnd: (connection) => {
        if (this.connection === connection) this.forget();
      },
      onWait: (reason, error) => {
        this.leave(reason, 'waiting');
        this.emitter.emit('error', error);
      },
      onStop: (error) => {
        this.shutDown(error);
        this.emitter.emit('error', error);
      },
    });
  }

  private forget(): void {
    this.connection = undefined;
    this.session = undefined;
    this.welcome = undefined;
  }

  private open(token: string | undefined): Connection {
    const { url, transport, echo, timeoutMs = 20_000, clientId, replace } = this.options;
    const connection: Connection = new Connection(
      {
        url,
        token,
        clientId,
        replace,
        echo,
        transport,
        timeoutMs,
        onWelcome: (welcome) => this.begin(connection, token, welcome),
        onFrame: (name, payload, details) => {
          // Frames of one that was given up may still arrive.
          if (this.connection === connection) this.read(name, payload, details?.channel);
        },
      },
      this.runtime,
    );
    return connection;
  }

  private begin(connection: Connection, token: string | undefined, welcome: Welcome): void {
    this.welcome = welcome;
    this.setState('connected');
    this.emitter.emit('connected', welcome);
    if (this.connection !== connection) return;
    this.session = new Session(connection, this.subscriptions, this.position, this.handlerQueue, {
      onGap: (gap) => this.emitter.emit('gap', gap),
      onRefused: (listener, error) => {
        this.subscriptions.delete(listener);
        listener.refused(error);
        this.emitter.emit('error', error);
      },
    });
    this.presence.connected();
    this.credential.keepFresh(connection, token).catch((error: unknown) => {
      this.emitter.emit('error', asTidingsError('connection_lost', error));
    });
  }

  private read(name: string, payload: unknown, channel: string | undefined): void {
    if (name === 'message') this.emitter.emit('message', payload as ReceivedMessage);
    if (name === 'draining') this.emitter.emit('draining', payload as { reconnectInMs: number });
    if (name === 'presence') this.presence.receive(payload as PresenceChange & { topic: Topic });
    if (name !== 'event' || !isEvent(payload)) return;
    const isResumable = payload.transient !== true;
    if (isResumable && !this.position.receive(payload.id)) return;
    this.emitter.emit('event', payload);
    const markHandled = () => {
      if (isResumable) this.position.markHandled(payload.id);
    };
    this.handlerQueue.push(() => {
      const pending = this.subscriptions.dispatch(payload, channel, (error) =>
        this.handlerFailed(error),
      );
      return pending ? pending.then(markHandled) : markHandled();
    });
  }

  private handlerFailed(cause: unknown): void {
    if (!this.emitter.has('error')) return uncaught(cause);
    const message = `A handler failed: ${String(cause)}`;
    this.emitter.emit('error', new TidingsError('handler_failed', message, { cause }));
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
    this.emitter.emit('state', state);
  }

  /** There is no connection any more. */
  private leave(reason: string, state: ClientState): void {
    const wasConnected = this.currentState === 'connected';
    this.setState(state);
    if (!wasConnected) return;
    this.emitter.emit('disconnected', { reason, willReconnect: state === 'waiting' });
  }

  /** Gives up the connection, and the attempts to get one. */
  private endRun(state: 'disconnected' | 'closed', reason = 'closed by the client'): void {
    this.running.abort();
    this.connection?.close();
    this.forget();
    this.leave(reason, state);
  }

  private shutDown(error: TidingsError): void {
    if (this.currentState === 'closed') return;
    this.over.abort();
    this.handlerQueue.clear();
    for (const listener of this.subscriptions.all) {
      this.subscriptions.delete(listener);
      listener.refused(error);
    }
    this.presence.close(error);
    this.endRun('closed', error.message);
  }
}

const disconnected = () => new TidingsError('disconnected', 'This client was disconnected.');

const closed = () => new TidingsError('closed', 'This client has been closed.');

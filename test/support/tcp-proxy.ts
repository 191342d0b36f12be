import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, Socket } from 'node:net';

/** The target of a proxy: a TCP port of this machine, or a Unix socket. */
export type Target = { port: number } | { path: string };

/**
 * Bytes that the proxy holds back. `reached` settles when there are some; {@link TcpProxy.cut} drops
 * them with their connection, `release` forwards them.
 */
export interface Hold {
  reached: Promise<void>;
  /** Forwards the bytes, and ends the rule. */
  release(): void;
}

/** Which bytes to hold back, by a text that they contain. */
export interface HoldRule {
  marker: string;
  /** The request with the marker; the answer to it; or an answer with the marker. */
  what: 'request' | 'answer' | 'answer-with';
}

interface Rule extends HoldRule {
  isOver: boolean;
  reach: () => void;
}

/**
 * A proxy between a process and a store. It can hold back a request or its answer, so that a test can
 * kill the process exactly before or after a commit, without support in the product.
 */
export class TcpProxy {
  private readonly links = new Set<Link>();
  private readonly rules = new Set<Rule>();
  private isSilent = false;

  private constructor(
    private readonly server: Server,
    private readonly target: Target,
  ) {
    server.on('connection', (client) => this.link(client));
  }

  static async to(target: Target): Promise<TcpProxy> {
    const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.unref();
    return new TcpProxy(server, target);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  hold(rule: HoldRule): Hold {
    let reach: () => void = () => undefined;
    const reached = new Promise<void>((resolve) => (reach = resolve));
    const own: Rule = { ...rule, isOver: false, reach };
    this.rules.add(own);
    const release = () => {
      this.rules.delete(own);
      own.isOver = true;
      for (const link of this.links) link.resume();
    };
    return { reached, release };
  }

  /**
   * Forwards nothing more on the connections that it has, and closes none of them, like a device that
   * has forgotten them. New ones work, unless `andNew`: then until {@link speak}.
   */
  silence({ andNew = false } = {}): void {
    this.isSilent = andNew;
    for (const link of this.links) link.silence();
  }

  /** New connections work again. */
  speak(): void {
    this.isSilent = false;
  }

  /** Resets every connection and drops the bytes that it holds back; new connections are accepted. */
  cut(): void {
    for (const rule of this.rules) rule.isOver = true;
    this.rules.clear();
    for (const link of this.links) link.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    this.server.close();
    await once(this.server, 'close');
  }

  private link(client: Socket): void {
    const store = connect({ ...this.target, allowHalfOpen: false });
    const link = new Link(client, store, this.rules);
    if (this.isSilent) link.silence();
    this.links.add(link);
    store.once('close', () => this.links.delete(link));
  }
}

class Link {
  /** The rule for the next answer, after its request has passed. */
  private answerRule: Rule | undefined;
  private isSilent = false;
  private activeRule: Rule | undefined;
  private readonly pendingChunks: { to: Socket; chunk: Buffer }[] = [];
  private readonly tails = new Map<Socket, string>();

  constructor(
    private readonly client: Socket,
    private readonly store: Socket,
    private readonly rules: ReadonlySet<Rule>,
  ) {
    client.on('data', (chunk: Buffer) => this.onRequest(chunk));
    store.on('data', (chunk: Buffer) => this.onAnswer(chunk));
    for (const [from, to] of [
      [client, store],
      [store, client],
    ] as const) {
      from.setNoDelay(true);
      from.on('error', () => undefined);
      from.once('close', () => to.destroy());
      from.on('drain', () => to.resume());
    }
    client.resume();
  }

  silence(): void {
    this.isSilent = true;
  }

  resume(): void {
    if (this.activeRule && !this.activeRule.isOver) return;
    this.activeRule = undefined;
    this.answerRule = undefined;
    for (const { to, chunk } of this.pendingChunks.splice(0)) to.write(chunk);
  }

  destroy(): void {
    this.client.destroy();
    this.store.destroy();
  }

  private onRequest(chunk: Buffer): void {
    if (this.isSilent) return;
    if (this.activeRule) return this.keep(this.store, chunk);
    const text = this.textOf(this.client, chunk);
    for (const rule of this.rules) {
      if (!text.includes(rule.marker)) continue;
      if (rule.what === 'request') return this.holdBack(rule, this.store, chunk);
      if (rule.what === 'answer') this.answerRule = rule;
    }
    this.pass(this.client, this.store, chunk);
  }

  private onAnswer(chunk: Buffer): void {
    if (this.isSilent) return;
    if (this.activeRule) return this.keep(this.client, chunk);
    if (this.answerRule && !this.answerRule.isOver) {
      return this.holdBack(this.answerRule, this.client, chunk);
    }
    const text = this.textOf(this.store, chunk);
    for (const rule of this.rules) {
      if (rule.what !== 'answer-with' || !text.includes(rule.marker)) continue;
      return this.holdBack(rule, this.client, chunk);
    }
    this.pass(this.store, this.client, chunk);
  }

  private holdBack(rule: Rule, to: Socket, chunk: Buffer): void {
    this.activeRule = rule;
    this.keep(to, chunk);
    rule.reach();
  }

  private keep(to: Socket, chunk: Buffer): void {
    this.pendingChunks.push({ to, chunk });
  }

  private pass(from: Socket, to: Socket, chunk: Buffer): void {
    if (!to.write(chunk)) from.pause();
  }

  /** Searches the chunk together with the end of the last one: a marker may be cut in two. */
  private textOf(from: Socket, chunk: Buffer): string {
    const text = (this.tails.get(from) ?? '') + chunk.toString('latin1');
    this.tails.set(from, text.slice(-64));
    return text;
  }
}

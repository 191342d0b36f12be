import { type Backoff, DEFAULT_BACKOFF } from './backoff.js';
import type { Connection } from './connection.js';
import type { Credential } from './credential.js';
import { type Attempts, type Ending, NO_ATTEMPTS, nextStep } from './reconnection.js';
import type { Runtime } from './runtime.js';
import { asTidingsError, type TidingsError } from './tidings-error.js';

export interface LoopListener {
  /** Before each attempt. */
  onAttempt(): void;
  /** Begins a connection with this token or API key. */
  open(token: string | undefined): Connection;
  /** It has ended, for any reason. */
  onEnd(connection: Connection): void;
  /** The next attempt follows after a while. */
  onWait(reason: string, error: TidingsError): void;
  /** Connecting again is of no use. */
  onStop(error: TidingsError): void;
}

/** Opens connections, one after the other, until it is stopped or the server forbids it. */
export class ConnectionLoop {
  constructor(
    private readonly backoff: Partial<Backoff> | undefined,
    private readonly credential: Credential,
    private readonly runtime: Runtime,
    private readonly listener: LoopListener,
  ) {}

  /** @param signal ends it; the caller that aborts it closes the connection, too */
  async run(signal: AbortSignal): Promise<void> {
    let attempts: Attempts = NO_ATTEMPTS;
    while (!signal.aborted) {
      this.listener.onAttempt();
      const ending = await this.connectOnce(signal);
      if (signal.aborted) return;
      const step = nextStep(ending, attempts, {
        backoff: { ...DEFAULT_BACKOFF, ...this.backoff },
        canRenew: this.credential.isRenewable,
        random: this.runtime.random(),
      });
      if (step.kind === 'stop') return this.listener.onStop(step.error);
      attempts = step.attempts;
      this.listener.onWait(ending.reason, step.error);
      await this.runtime.sleep(step.delayMs, signal);
    }
  }

  /** Opens one connection and waits for its end. */
  private async connectOnce(signal: AbortSignal): Promise<Ending> {
    try {
      const token = await this.credential.token();
      if (signal.aborted) return { reason: 'closed', connectedMs: 0 };
      const connection = this.listener.open(token);
      const ending = await connection.ended;
      this.listener.onEnd(connection);
      return ending;
    } catch (error) {
      const refusal = asTidingsError('connection_lost', error);
      return { reason: refusal.message, refusal, connectedMs: 0 };
    }
  }
}

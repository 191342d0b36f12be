/**
 * The measuring programs run in processes of their own and are called over IPC: `call` on one side,
 * `serve` on the other. A program ends with the process that started it.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

/** How long an orderly shutdown may take. */
const END_MS = 3_000;

/** @typedef {{ id: number; command: string; argument: unknown }} Request */
/** @typedef {{ id: number; result?: unknown; error?: string }} Reply */
/** @typedef {{ notice: unknown }} Notice */

export class Child {
  #process;
  #name;
  #nextId = 1;
  /** @type {Map<number, { resolve: (result: any) => void; reject: (error: Error) => void }>} */
  #calls = new Map();
  #isEnding = false;
  /** @type {(notice: any) => void} */
  onNotice = () => undefined;
  /** Rejects when the program ends before {@link stop}. */
  failure;

  /** @param {string} program a file beside this one */
  constructor(program) {
    this.#name = program;
    this.#process = fork(fileURLToPath(new URL(program, import.meta.url)), {
      serialization: 'json',
    });
    this.#process.on('message', (message) => this.#take(/** @type {Reply | Notice} */ (message)));
    this.failure = once(this.#process, 'exit').then(([code, signal]) =>
      this.#ended(code ?? signal),
    );
    // Callers race against it. Until one does, it must not be an unhandled rejection.
    this.failure.catch(() => undefined);
  }

  get pid() {
    return /** @type {number} */ (this.#process.pid);
  }

  /**
   * @param {string} command
   * @param {unknown} [argument] anything JSON can carry
   * @returns {Promise<any>}
   */
  call(command, argument) {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { resolve, reject });
      this.#process.send({ id, command, argument }, (error) => {
        if (error) reject(error);
      });
    });
  }

  /**
   * Sends a command without waiting for an answer; it may not arrive.
   * @param {string} command
   * @param {unknown} argument
   */
  notify(command, argument) {
    this.#process.send({ id: 0, command, argument }, () => undefined);
  }

  async stop() {
    this.#isEnding = true;
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const end = once(this.#process, 'exit');
    if (this.#process.connected) this.#process.disconnect();
    const killTimer = setTimeout(() => this.#process.kill('SIGKILL'), END_MS);
    await end;
    clearTimeout(killTimer);
  }

  /** @param {Reply | Notice} message */
  #take(message) {
    if ('notice' in message) {
      this.onNotice(message.notice);
      return;
    }
    const call = this.#calls.get(message.id);
    this.#calls.delete(message.id);
    if (message.error === undefined) call?.resolve(message.result);
    else call?.reject(new Error(`${this.#name}: ${message.error}`));
  }

  /** @param {number | string} how */
  #ended(how) {
    if (this.#isEnding) return;
    const error = new Error(`${this.#name} ended unexpectedly (${how})`);
    for (const { reject } of this.#calls.values()) reject(error);
    this.#calls.clear();
    throw error;
  }
}

/**
 * Answers the calls of the parent process until that ends.
 * @param {Record<string, (argument: any) => unknown>} commands
 */
export function serve(commands) {
  // Ctrl-C reaches the whole process group, but the parent decides when this process ends.
  process.on('SIGINT', () => undefined);
  process.on('disconnect', () => process.exit(0));
  process.on('message', (message) => {
    const { id, command, argument } = /** @type {Request} */ (message);
    Promise.resolve(argument)
      .then(commands[command])
      .then(
        (result) => id && send({ id, result }),
        (/** @type {Error} */ error) => id && send({ id, error: error.stack ?? String(error) }),
      );
  });
}

/** @param {unknown} value anything JSON can carry */
export const notify = (value) => send({ notice: value });

/** @param {Reply | Notice} message */
function send(message) {
  if (process.connected) process.send?.(message);
}

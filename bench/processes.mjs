/** Programs that the benchmark starts, and that end with it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';

const SETPRIV = '/usr/bin/setpriv';
const USUAL_PLACES = ['/usr/bin', '/usr/local/bin', '/opt/homebrew/bin'];
const KEPT_LINES = 40;

/**
 * @param {readonly string[]} names in the order of preference
 * @returns {string | undefined} the path of the first that can be run
 */
export function findProgram(names) {
  const places = [...(process.env['PATH'] ?? '').split(delimiter), ...USUAL_PLACES].filter(Boolean);
  return names.flatMap((name) => places.map((place) => join(place, name))).find(isExecutable);
}

export class Program {
  #process;
  #name;
  #endMs;
  #isEnding = false;
  /** @type {string[]} */
  #lines = [];
  /** @type {Set<(line: string) => void>} */
  #readers = new Set();
  #kill = () => void this.#process.kill('SIGKILL');
  /** Rejects when it ends before {@link stop}. */
  failure;

  /**
   * @param {string} name for messages
   * @param {string} file
   * @param {readonly string[]} args
   * @param {{ env?: NodeJS.ProcessEnv; cwd?: string; endMs: number }} options `endMs`: how long an orderly shutdown may take
   */
  constructor(name, file, args, { endMs, ...options }) {
    this.#name = name;
    this.#endMs = endMs;
    // Where `setpriv` exists, the program ends with this process even after SIGKILL.
    const bound = existsSync(SETPRIV) ? ['--pdeathsig=KILL', file, ...args] : args;
    this.#process = spawn(existsSync(SETPRIV) ? SETPRIV : file, bound, {
      ...options,
      // A process group of its own: Ctrl-C reaches only this process, which stops the program in order.
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    process.once('exit', this.#kill);
    for (const output of [this.#process.stdout, this.#process.stderr]) {
      createInterface({ input: output }).on('line', (line) => this.#read(line));
    }
    this.failure = once(this.#process, 'close').then(([code, signal]) =>
      this.#ended(code ?? signal),
    );
    this.failure.catch(() => undefined);
  }

  get pid() {
    return /** @type {number} */ (this.#process.pid);
  }

  /** The last lines it has written. */
  get output() {
    return this.#lines.join('\n');
  }

  /**
   * Waits for a line of its output.
   * @param {RegExp} pattern
   * @param {number} timeoutMs
   * @returns {Promise<RegExpExecArray>}
   */
  async line(pattern, timeoutMs) {
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    /** @type {Promise<RegExpExecArray>} */
    const found = new Promise((resolve, reject) => {
      this.#readers.add((line) => {
        const match = pattern.exec(line);
        if (match) resolve(match);
      });
      const late = `${this.#name} did not print ${String(pattern)} within ${timeoutMs} ms`;
      timer = setTimeout(() => reject(new Error(`${late}:\n${this.output}`)), timeoutMs);
    });
    try {
      return /** @type {RegExpExecArray} */ (await Promise.race([found, this.failure]));
    } finally {
      clearTimeout(timer);
      this.#readers.clear();
    }
  }

  /** Stops it: SIGTERM first, SIGKILL after `endMs`. @returns its exit code, null if it was killed */
  async stop() {
    this.#isEnding = true;
    const child = this.#process;
    if (child.exitCode === null && child.signalCode === null && child.pid !== undefined) {
      const end = once(child, 'exit');
      child.kill('SIGTERM');
      const killTimer = setTimeout(this.#kill, this.#endMs);
      await end;
      clearTimeout(killTimer);
    }
    process.removeListener('exit', this.#kill);
    return child.exitCode;
  }

  /** @param {string} line */
  #read(line) {
    if (this.#lines.push(line) > KEPT_LINES) this.#lines.shift();
    for (const read of this.#readers) read(line);
  }

  /** @param {number | string} how */
  #ended(how) {
    process.removeListener('exit', this.#kill);
    if (this.#isEnding) return;
    throw new Error(`${this.#name} ended unexpectedly (${how}):\n${this.output}`);
  }
}

/** @param {string} file */
function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/**
 * Keeps everything that a run has started, and stops it in reverse order when the run ends: normally,
 * with a failure, on Ctrl-C, or because it takes too long.
 */

/** @typedef {{ stop: () => Promise<unknown>; failure?: Promise<unknown> }} Resource */

export class Lifetime {
  /** @type {Resource[]} */
  #resources = [];
  #isOver = false;
  /** @type {(error: Error) => void} */
  #cut = () => undefined;
  /** @type {Promise<never>} */
  #interruption = new Promise((_, reject) => (this.#cut = reject));
  #timer;
  #onSignal = (/** @type {NodeJS.Signals} */ signal) =>
    this.#cut(new Error(`interrupted by ${signal}`));

  /** @param {number} maxMs after which the run fails */
  constructor(maxMs) {
    this.#interruption.catch(() => undefined);
    this.#timer = setTimeout(() => this.#cut(new Error(`not done after ${maxMs} ms`)), maxMs);
    process.on('SIGINT', this.#onSignal);
    process.on('SIGTERM', this.#onSignal);
  }

  /**
   * Adds something that was started; the run fails when it fails.
   * @template {Resource} T
   * @param {T} resource
   * @returns {Promise<T>}
   */
  async own(resource) {
    resource.failure?.catch((/** @type {Error} */ error) => this.#cut(error));
    if (this.#isOver) await resource.stop();
    else this.#resources.push(resource);
    return resource;
  }

  /**
   * Runs until the task is done, or something ends the run before.
   * @template T
   * @param {() => Promise<T>} run
   * @returns {Promise<T>}
   */
  async use(run) {
    try {
      return await Promise.race([run(), this.#interruption]);
    } finally {
      await this.#end();
    }
  }

  async #end() {
    this.#isOver = true;
    clearTimeout(this.#timer);
    for (const { stop } of this.#resources.splice(0).reverse().map(bound)) {
      await stop().catch((/** @type {unknown} */ error) => console.error(error));
    }
    process.removeListener('SIGINT', this.#onSignal);
    process.removeListener('SIGTERM', this.#onSignal);
  }
}

/** @param {Resource} resource */
const bound = (resource) => ({ stop: async () => resource.stop() });

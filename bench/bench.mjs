/** What each scenario gets: the rig, a way to measure windows, and a list for the results. */
import { progressLine } from './report.mjs';

/** @typedef {import('./measure.mjs').Window & import('./plans.mjs').Label} NamedWindow */
/** @typedef {Omit<Awaited<ReturnType<import('./measure.mjs').Measurement['backlog']>>, 'arrivals'>} Counts */

export class Bench {
  #measurement;
  rig;
  options;
  /** @type {NamedWindow[]} */
  windows = [];
  /** What was delivered outside of windows. @type {Counts[]} */
  backlogs = [];

  /**
   * @param {import('./rig.mjs').Rig} rig
   * @param {import('./options.mjs').Options} options
   * @param {import('./measure.mjs').Measurement} measurement
   */
  constructor(rig, options, measurement) {
    this.rig = rig;
    this.options = options;
    this.#measurement = measurement;
  }

  /** @param {import('./plans.mjs').NamedPlan} plan */
  measure = async (plan) => {
    const { name, scenario, isMeasured, offeredPerS } = plan;
    const window = await this.#measurement.window(plan);
    const named = { name, scenario, isMeasured, offeredPerS, ...window };
    this.windows.push(named);
    console.log(progressLine(named));
    return window;
  };

  /**
   * @param {string} name
   * @param {import('./measure.mjs').Flood} plan
   * @param {() => Promise<unknown>} deliver
   */
  async backlog(name, plan, deliver) {
    const { arrivals, ...counts } = await this.#measurement.backlog(plan, deliver);
    this.backlogs.push(counts);
    const { deliveries, refused, missing, arrivedBefore } = counts;
    console.log(
      `backlog of ${name}: ${deliveries - arrivedBefore} drained, ${refused} refused, ${missing} missing`,
    );
    return { arrivals, ...counts };
  }

  /**
   * @param {string} scenario
   * @param {string} reason
   */
  skip(scenario, reason) {
    console.log(`${scenario} is skipped: ${reason}`);
    return undefined;
  }
}

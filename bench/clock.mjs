/** The monotonic clock, which all processes of a machine share. */

/** @returns {number} microseconds since some time before this run */
export function nowUs() {
  const [seconds, nanoseconds] = process.hrtime();
  return seconds * 1e6 + nanoseconds / 1e3;
}

/** @param {number} us a time of {@link nowUs} */
export async function until(us) {
  for (let ms = (us - nowUs()) / 1e3; ms > 0; ms = (us - nowUs()) / 1e3) {
    await new Promise((resolve) => setTimeout(resolve, Math.ceil(ms)));
  }
}

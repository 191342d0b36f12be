/** Callbacks of the application. An error in one of them must not stop the client. */

/** Wraps a callback, if there is one, so that it never throws. */
export const guarded =
  <Args extends unknown[]>(callback: ((...args: Args) => void) | undefined) =>
  (...args: Args): void => {
    try {
      callback?.(...args);
    } catch (error) {
      uncaught(error);
    }
  };

/** Throws outside of the current call, so that the platform reports the error as uncaught. */
export function uncaught(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

/** What the application gave us to call. Its mistakes are not ours, and must not stop us. */

/** The callback, if there is one, in a form that never throws. */
export const guarded =
  <Args extends unknown[]>(callback: ((...args: Args) => void) | undefined) =>
  (...args: Args): void => {
    try {
      callback?.(...args);
    } catch (error) {
      uncaught(error);
    }
  };

/** Throws as if the platform had made the call, so that nothing is swallowed. */
export function uncaught(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

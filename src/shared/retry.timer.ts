export interface RetryOptions {
  /** Whether trying again cannot help: the error is thrown. */
  isFinal: (error: unknown) => boolean;
  /** Before each wait; logs what deserves it. */
  onError: (error: unknown) => void;
  /** The first wait; it doubles with each failure. */
  minWaitMs: number;
  maxWaitMs: number;
}

/** Tries until it succeeds, for as long as a store is away. */
export async function retryUntilDone<Result>(
  attempt: () => Promise<Result>,
  { isFinal, onError, minWaitMs, maxWaitMs }: RetryOptions,
): Promise<Result> {
  for (let waitMs = minWaitMs; ; waitMs = Math.min(waitMs * 2, maxWaitMs)) {
    try {
      return await attempt();
    } catch (error) {
      if (isFinal(error)) throw error;
      onError(error);
      await new Promise((resolve) => setTimeout(resolve, waitMs));
    }
  }
}

/** What came while a program stood still is at hand this soon after it goes on. */
const ARRIVED_MS = 100;

/**
 * Waits for a promise, but not much longer than some milliseconds.
 *
 * @throws What `late` returns, if it takes longer.
 */
export async function within<T>(ms: number, promise: Promise<T>, late: () => Error): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    const end = (): void => {
      reject(late());
    };
    // A program that stood still comes to its timers before it comes to what it can read.
    timer = setTimeout(() => {
      timer = setTimeout(end, ARRIVED_MS);
    }, ms);
  });
  try {
    return await Promise.race([promise, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Waits for a promise that itself may not end when the signal is aborted.
 *
 * @throws The signal's reason, once it is aborted.
 */
export async function unlessAborted<T>(signal: AbortSignal, promise: Promise<T>): Promise<T> {
  let end: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    end = (): void => {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- a reason may be anything
      reject(signal.reason);
    };
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    if (end !== undefined) signal.removeEventListener("abort", end);
  }
}

/** Waits some milliseconds, or until the signal is aborted. */
export function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal.addEventListener("abort", end);
    if (signal.aborted) end();
  });
}

import { RefusedError } from "./errors.js";

/** A longer `Retry-After` is not waited for. */
const LONGEST_RETRY_AFTER_MS = 5 * 60_000;

/** Reads the answer of a server that gives no stream. */
export async function refusalOf(response: Response): Promise<RefusedError> {
  const { error, message } = explanationIn(await response.text());
  const explanation = message || response.statusText || "the server gives no reason";
  return new RefusedError(response.status, error, explanation, retryAfterMs(response.headers.get("Retry-After")));
}

/** Returns the milliseconds that a `Retry-After` asks for: at most 5 minutes, 0 if it is missing or no number of seconds. */
export function retryAfterMs(header: string | null): number {
  if (header === null || !/^\s*[0-9]+\s*$/.test(header)) return 0;
  return Math.min(Number(header) * 1000, LONGEST_RETRY_AFTER_MS);
}

function explanationIn(body: string): { error: string; message: string } {
  try {
    const found = JSON.parse(body) as { error?: unknown; message?: unknown } | null;
    if (typeof found?.error === "string" && typeof found.message === "string") {
      return { error: found.error, message: found.message };
    }
  } catch {
    // A proxy that refuses by itself explains it in HTML.
  }
  return { error: "", message: "" };
}

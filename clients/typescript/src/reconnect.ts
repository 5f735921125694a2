import { ClosedError, RefusedError, type DatastreamError } from "./errors.js";

/** When a stream is tried again after a failure. */
export interface RetryOptions {
  /** Failures in a row, without an event or a heartbeat between them, after which the last one is thrown. Unset: no limit. */
  readonly limit?: number;
  /** Milliseconds of the first pause; each one after it is twice as long. Unset: 500. */
  readonly firstDelayMs?: number;
  /** Milliseconds of the longest pause. Unset: 30,000. */
  readonly longestDelayMs?: number;
}

/** Clients of a gateway that shuts down come back within this time, not all in one instant. */
const SPREAD_MS = 500;

/** Close codes of a gateway that moves its clients elsewhere: going away, and service restart. */
const MOVING_CODES: ReadonlySet<number> = new Set([1001, 1012]);

/** The pauses of one stream: doubling, at random up to half shorter, and nearly none while a gateway moves its clients. */
export class ReconnectPolicy {
  readonly #first: number;
  readonly #longest: number;
  readonly #limit: number;
  #failures = 0;
  #doublings = 0;

  constructor({ firstDelayMs = 500, longestDelayMs = 30_000, limit = Infinity }: RetryOptions = {}) {
    this.#first = firstDelayMs;
    this.#longest = longestDelayMs;
    this.#limit = limit;
  }

  /** Failures in a row. */
  get failures(): number {
    return this.#failures;
  }

  /** Notes that something came. A connection that only opens is no success: a server that accepts and drops would be flooded. */
  progress(): void {
    this.#failures = 0;
    this.#doublings = 0;
  }

  /** Counts a failure. Returns the milliseconds to wait, or `undefined` if the stream is not to be tried again. */
  after(failure: DatastreamError): number | undefined {
    const isFirst = this.#failures === 0;
    this.#failures += 1;
    if (!failure.retryable || this.#failures > this.#limit) return undefined;
    if (isFirst && failure instanceof ClosedError && MOVING_CODES.has(failure.code)) return Math.random() * SPREAD_MS;
    const pause = Math.min(this.#first * 2 ** this.#doublings, this.#longest);
    this.#doublings += 1;
    const retryAfter = failure instanceof RefusedError ? failure.retryAfterMs : 0;
    return Math.max(pause * (0.5 + Math.random() / 2), retryAfter);
  }
}

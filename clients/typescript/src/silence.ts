/** Silence that is endured before the interval of the heartbeats is known: a subscription may ask for up to 300 s. */
const FIRST_LIMIT_MS = 310_000;
/** Silence that is always endured. */
const SHORTEST_LIMIT_MS = 20_000;
/** Heartbeats that may be missing. */
const INTERVALS = 3;

/** How long a stream's connections may be silent: three times the longest interval of heartbeats that was measured. */
export class SilenceLimit {
  readonly #fixed: number | undefined;
  #longest = 0;
  #previous: number | undefined;

  /** Starts with what is endured before any heartbeat. With `fixedMs`, it stays at that. */
  constructor(fixedMs: number | undefined) {
    this.#fixed = fixedMs;
  }

  /** Milliseconds. */
  get ms(): number {
    if (this.#fixed !== undefined) return this.#fixed;
    if (this.#longest === 0) return FIRST_LIMIT_MS;
    return Math.max(INTERVALS * this.#longest, SHORTEST_LIMIT_MS);
  }

  /**
   * Notes a heartbeat that came at this time, in milliseconds; `undefined` if it had come some time before it was read. Only
   * between two known times there is an interval.
   */
  heartbeat(arrivedMs: number | undefined): void {
    if (arrivedMs !== undefined && this.#previous !== undefined) {
      this.#longest = Math.max(this.#longest, arrivedMs - this.#previous);
    }
    this.#previous = arrivedMs;
  }

  /** Notes a new connection, which has an interval of its own. */
  restart(): void {
    this.#previous = undefined;
  }
}

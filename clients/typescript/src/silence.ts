/** Silence that is endured before the interval of the heartbeats is known: a subscription may ask for up to 300 s. */
const FIRST_LIMIT_MS = 310_000;
/** Silence that is always endured. */
const SHORTEST_LIMIT_MS = 20_000;
/** Heartbeats that may be missing. */
const INTERVALS = 3;
/** A gap that is shorter tells nothing: no subscription may ask for an interval of less than 5 s. */
const SHORTEST_GAP_MS = 4_000;
/** Gaps that have to be about as long as the longest before it counts as the interval. */
const ALIKE = 2;

/**
 * Silence that a stream's connections may have: three intervals of heartbeats. The interval is the longest gap between two
 * heartbeats on any connection, once another one was about as long: a heartbeat that comes out of turn makes shorter ones.
 */
export class SilenceLimit {
  readonly #fixed: number | undefined;
  #longest = 0;
  #alike = 0;
  #previous: number | undefined;

  /** Starts with what is endured before any heartbeat. With `fixedMs`, it stays at that. */
  constructor(fixedMs: number | undefined) {
    this.#fixed = fixedMs;
  }

  /** Milliseconds. */
  get ms(): number {
    if (this.#fixed !== undefined) return this.#fixed;
    if (!this.#isKnown) return FIRST_LIMIT_MS;
    return Math.max(INTERVALS * this.#longest, SHORTEST_LIMIT_MS);
  }

  /**
   * Notes a heartbeat that came at this time, in milliseconds; `undefined` if it had come some time before it was read. Only
   * between two known times there is a gap.
   */
  heartbeat(arrivedMs: number | undefined): void {
    if (arrivedMs !== undefined && this.#previous !== undefined) {
      const gap = arrivedMs - this.#previous;
      if (gap >= SHORTEST_GAP_MS) this.#measured(gap);
    }
    this.#previous = arrivedMs;
  }

  /** Notes a new connection: what comes next is no gap. */
  restart(): void {
    this.#previous = undefined;
  }

  /**
   * Notes that a connection was given up for its silence. The next one starts anew: if the interval was taken for too short, it
   * would be given up as well, before a heartbeat can show that.
   */
  gaveUp(): void {
    this.#longest = 0;
    this.#alike = 0;
    this.#previous = undefined;
  }

  get #isKnown(): boolean {
    return this.#alike >= ALIKE;
  }

  #measured(gap: number): void {
    const shorter = Math.min(this.#longest, gap);
    const longer = Math.max(this.#longest, gap);
    this.#longest = longer;
    if (this.#isKnown) return;
    if (4 * shorter >= 3 * longer) this.#alike += 1;
    else if (gap === longer) this.#alike = 1;
  }
}

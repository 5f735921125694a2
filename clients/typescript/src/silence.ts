/** The longest interval of heartbeats that a subscription may ask for. */
const LONGEST_INTERVAL_MS = 300_000;
/** Silence that is endured before the interval of the heartbeats is known. */
const FIRST_LIMIT_MS = LONGEST_INTERVAL_MS + 10_000;
/** Silence that is always endured. */
const SHORTEST_LIMIT_MS = 20_000;
/** Heartbeats that may be missing. */
const INTERVALS = 3;
/** Silence that is never endured, unless it was asked for. */
const LONGEST_LIMIT_MS = INTERVALS * LONGEST_INTERVAL_MS;
/** A gap that is shorter tells nothing: no subscription may ask for an interval of less than 5 s. */
const SHORTEST_GAP_MS = 4_000;
/** A gap that is longer tells nothing: no interval is as long, but a process that is stopped reads late what came in time. */
const LONGEST_GAP_MS = FIRST_LIMIT_MS;
/** Gaps that have to be about as long as the longest before it counts as the interval. */
const ALIKE = 2;
/**
 * Gaps in a row that have to be shorter than the longest before it counts as the interval: it may be too long, which hangs up on no
 * gateway that is well.
 */
const SHORTER = 4;

/**
 * Silence that a stream's connections may have: three intervals of heartbeats. The interval is the longest gap between two
 * heartbeats on any connection, once another one was about as long or four in a row were shorter: a heartbeat that comes out of
 * turn makes shorter ones, and one that is late a longer one.
 */
export class SilenceLimit {
  readonly #fixed: number | undefined;
  #longest = 0;
  #alike = 0;
  #shorter = 0;
  #previous: number | undefined;

  /** Starts with what is endured before any heartbeat. With `fixedMs`, it stays at that. */
  constructor(fixedMs: number | undefined) {
    this.#fixed = fixedMs;
  }

  /** Milliseconds. */
  get ms(): number {
    if (this.#fixed !== undefined) return this.#fixed;
    if (!this.#isKnown) return FIRST_LIMIT_MS;
    return Math.min(Math.max(INTERVALS * this.#longest, SHORTEST_LIMIT_MS), LONGEST_LIMIT_MS);
  }

  /**
   * Notes a heartbeat that came at this time, in milliseconds; `undefined` if it had come some time before it was read. Only
   * between two known times there is a gap.
   */
  heartbeat(arrivedMs: number | undefined): void {
    if (arrivedMs !== undefined && this.#previous !== undefined) {
      const gap = arrivedMs - this.#previous;
      if (gap >= SHORTEST_GAP_MS && gap <= LONGEST_GAP_MS) this.#measured(gap);
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
    this.#shorter = 0;
    this.#previous = undefined;
  }

  get #isKnown(): boolean {
    return this.#alike >= ALIKE || this.#shorter >= SHORTER;
  }

  #measured(gap: number): void {
    const shorter = Math.min(this.#longest, gap);
    const longer = Math.max(this.#longest, gap);
    this.#longest = longer;
    if (this.#isKnown) return;
    this.#shorter = gap === longer ? 0 : this.#shorter + 1;
    if (4 * shorter >= 3 * longer) this.#alike += 1;
    else if (gap === longer) this.#alike = 1;
  }
}

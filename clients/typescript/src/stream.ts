/// <reference lib="esnext.disposable" preserve="true" />
import { Connection } from "./connection.js";
import { Endpoint } from "./endpoint.js";
import { ClosedError, DatastreamError, GapError } from "./errors.js";
import type { DatastreamEvent } from "./event.js";
import { checkOptions } from "./given.js";
import type { Reconnect, StreamOptions } from "./options.js";
import { ReconnectPolicy } from "./reconnect.js";
import { SeenEvents } from "./seq.js";
import { SilenceLimit } from "./silence.js";
import { pause } from "./wait.js";

/** Close code of a stream that has come to the end that was asked for. */
const DONE = 1000;
/** Close code of a stream whose events have expired: going on elsewhere would hide that. */
const EXPIRED = 1011;

/**
 * Opens a stream, which begins when its first event is asked for. It goes on over lost connections and gateways that restart,
 * without a gap and without an event twice, until `seqEnd`, `close`, or a failure that does not pass by itself.
 *
 * @param url The URL of a stream, `wss://HOST/stream?stream_key=KEY`; `https` is the same.
 * @throws {TypeError} The URL or an option cannot be used.
 */
export function connect(url: string | URL, options: StreamOptions = {}): EventStream {
  checkOptions(options);
  return new EventStream(new Endpoint(url, options), options);
}

/**
 * Stream of events, to be read by one loop, `for await (const event of stream)`. An event counts as handled when the next one is
 * asked for. Leaving the loop closes the stream.
 */
export class EventStream implements AsyncIterator<DatastreamEvent, undefined, undefined>, AsyncIterable<DatastreamEvent> {
  /** The same as `close`, for `await using`, where the platform has it. */
  declare readonly [Symbol.asyncDispose]: () => Promise<void>;

  static {
    // Older platforms lack the symbol, which TypeScript takes for granted.
    const symbol = (Symbol as { asyncDispose?: symbol }).asyncDispose;
    if (symbol !== undefined) {
      const value = function (this: EventStream): Promise<void> {
        return this.close();
      };
      Object.defineProperty(this.prototype, symbol, { value });
    }
  }

  readonly #endpoint: Endpoint;
  readonly #options: StreamOptions;
  readonly #policy: ReconnectPolicy;
  readonly #silence: SilenceLimit;
  readonly #seen = new SeenEvents();
  readonly #closing = new AbortController();
  readonly #events: AsyncGenerator<DatastreamEvent, undefined, undefined>;
  #position: string | undefined;
  #isAsked = false;

  /** @internal */
  constructor(endpoint: Endpoint, options: StreamOptions) {
    this.#endpoint = endpoint;
    this.#options = options;
    this.#policy = new ReconnectPolicy(options.retry);
    this.#silence = new SilenceLimit(options.silenceMs);
    this.#position = endpoint.seqStart;
    this.#events = this.#run();
  }

  /**
   * The number to start with, as `seqStart`, to get everything that has not been handled. `undefined` until it is known, which it
   * is after the first event or marker, or from the start if the stream was given a number.
   */
  get position(): string | undefined {
    return this.#position;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /**
   * Returns the next event. The one before it counts as handled from now on.
   *
   * @throws {DatastreamError} The stream has failed for good. Nothing comes after that.
   */
  async next(): Promise<IteratorResult<DatastreamEvent, undefined>> {
    if (this.#isAsked) throw new Error("a stream is read by one loop: ask for an event when the one before has come");
    this.#isAsked = true;
    try {
      return await this.#events.next();
    } finally {
      this.#isAsked = false;
    }
  }

  /** Closes the stream, as leaving the loop does. */
  async return(): Promise<IteratorReturnResult<undefined>> {
    await this.close();
    return { done: true, value: undefined };
  }

  /** Closes the stream: a loop over it ends. The event that its loop is at counts as not handled. */
  async close(): Promise<void> {
    this.#closing.abort();
    await this.#events.return(undefined);
  }

  async *#run(): AsyncGenerator<DatastreamEvent, undefined, undefined> {
    const { signal } = this.#options;
    const onAbort = (): void => {
      this.#closing.abort();
    };
    signal?.addEventListener("abort", onAbort);
    try {
      if (signal?.aborted) onAbort();
      yield* this.#connections();
      signal?.throwIfAborted();
    } finally {
      signal?.removeEventListener("abort", onAbort);
    }
    return undefined;
  }

  /** Events of one connection after the other. Ends at the end that was asked for, and when the stream is closed. */
  async *#connections(): AsyncGenerator<DatastreamEvent, void, undefined> {
    while (!this.#isClosing()) {
      const failure = yield* this.#connection();
      if (failure === undefined || this.#isClosing()) return;
      const delayMs = this.#policy.after(failure);
      if (delayMs === undefined) throw failure;
      this.#report({ failure, delayMs, attempt: this.#policy.failures });
      await pause(delayMs, this.#closing.signal);
    }
  }

  /** Events of one connection. Returns why it ended, or `undefined` at the end that was asked for. */
  async *#connection(): AsyncGenerator<DatastreamEvent, DatastreamError | undefined, undefined> {
    let connection: Connection | undefined;
    try {
      connection = await this.#open();
      for (;;) {
        const message = await connection.next();
        switch (message.kind) {
          case "event":
            if (!this.#seen.add(message.event.identity)) break;
            this.#policy.progress();
            yield message.event;
            this.#position = message.event.next;
            break;
          case "heartbeat":
            this.#policy.progress();
            break;
          case "live":
          case "gap":
            this.#mark(message.kind, message.seqStart);
            break;
          case "close":
            if (message.code !== EXPIRED) this.#position = message.seqStart ?? this.#position;
            return message.code === DONE ? undefined : new ClosedError(message.code, message.reason);
        }
      }
    } catch (error) {
      // A gap is nothing that a new connection mends, and other errors are the user's own, of a callback.
      if (error instanceof DatastreamError && !(error instanceof GapError)) return error;
      throw error;
    } finally {
      connection?.cancel();
    }
  }

  #report(reconnect: Reconnect): void {
    if (this.#options.onReconnect !== undefined) {
      this.#options.onReconnect(reconnect);
      return;
    }
    const text = this.#endpoint.redact(reconnect.failure.message);
    console.warn(`${this.#endpoint.address}: ${text}; next attempt in ${(reconnect.delayMs / 1000).toFixed(1)} s`);
  }

  #isClosing(): boolean {
    return this.#closing.signal.aborted;
  }

  #open(): Promise<Connection> {
    const request = this.#endpoint.request(this.#position);
    return Connection.open(request, this.#options.fetch ?? fetch, this.#silence, this.#closing.signal);
  }

  #mark(control: "live" | "gap", seqStart: string): void {
    this.#position = seqStart;
    if (this.#options.onMarker !== undefined) this.#options.onMarker({ control, seqStart });
    else if (control === "gap") throw new GapError(seqStart);
  }
}

import type { RetryOptions } from "./reconnect.js";
import type { DatastreamError } from "./errors.js";

/** A secret, or what returns it: called before each connection, so that it can be renewed. */
export type Secret = string | (() => string | Promise<string>);

/** What a stream tells beside its events. */
export interface Marker {
  /** `live`: everything stored has come, and what follows is live. `gap`: events before `seqStart` have expired. */
  readonly control: "live" | "gap";
  /** The number to start with to get what follows. */
  readonly seqStart: string;
}

/** A connection that failed or ended, and is about to be made again. */
export interface Reconnect {
  readonly failure: DatastreamError;
  /** Milliseconds until the next attempt. */
  readonly delayMs: number;
  /** Failures in a row, without an event or a heartbeat between them: 1 for the first. */
  readonly attempt: number;
}

/** Options of a stream. They come before parameters of the URL with the same meaning. */
export interface StreamOptions {
  /** The stream key, sent as `Authorization: Bearer`, where the URL has none. */
  readonly key?: Secret;
  /** A token, sent as `Authorization: Bearer`, instead of a key. */
  readonly token?: Secret;
  /** The subscription whose stream a token opens: `NAMESPACE/NAME`. */
  readonly subscription?: string;
  /** The first number of the stream, such as the `position` of an earlier one; `0` is the earliest event that is left. */
  readonly seqStart?: string | bigint;
  /** The last number of the stream, which ends after it. Counts only beside a start. */
  readonly seqEnd?: string | bigint;
  /** Instead of `seqStart`: from the first event that the broker took at this time or later (a string is RFC 3339). */
  readonly timeStart?: string | Date;
  /** Where the first events asked for have expired, start at the earliest that is left, instead of failing with 410. */
  readonly onGap?: "earliest";
  /** Called for each marker. Without it, a gap ends the stream with a `GapError`. */
  readonly onMarker?: (marker: Marker) => void;
  /** Called before each pause that a failure leads to. Unset: it is written by `console.warn`. */
  readonly onReconnect?: (reconnect: Reconnect) => void;
  /** Pauses between attempts, and how many there are. */
  readonly retry?: RetryOptions;
  /** Milliseconds without a heartbeat or event after which a connection counts as dead. Unset: three intervals of heartbeats. */
  readonly silenceMs?: number;
  /** Ends the stream: the loop throws the signal's reason. */
  readonly signal?: AbortSignal;
  /** Used instead of the global `fetch`, for instance to show a client certificate. */
  readonly fetch?: typeof fetch;
}

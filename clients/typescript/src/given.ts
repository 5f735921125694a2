import type { StreamOptions } from "./options.js";
import type { RetryOptions } from "./reconnect.js";
import { isDecimal } from "./seq.js";

/** A timer that is set to more milliseconds goes off at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** What an option must be. */
interface Kind {
  readonly expected: string;
  readonly fits: (value: unknown) => boolean;
}

const TEXT: Kind = { expected: "a string", fits: (value) => typeof value === "string" };
const FUNCTION: Kind = { expected: "a function", fits: (value) => typeof value === "function" };
const SECRET: Kind = { expected: "a string or a function", fits: (value) => TEXT.fits(value) || FUNCTION.fits(value) };
const OBJECT: Kind = { expected: "an object", fits: (value) => typeof value === "object" && value !== null };
const NUMBER: Kind = {
  // Numbers of JavaScript do not hold all digits.
  expected: 'a string of the digits 0 to 9, or a bigint: "0" or 0n',
  fits: (value) => (typeof value === "string" || typeof value === "bigint") && isDecimal(String(value)),
};
const TIME: Kind = {
  expected: "a string or a valid Date",
  fits: (value) => typeof value === "string" || (value instanceof Date && !Number.isNaN(value.getTime())),
};
const EARLIEST: Kind = { expected: '"earliest"', fits: (value) => value === "earliest" };
const COUNT: Kind = { expected: "a number that is not negative", fits: (value) => typeof value === "number" && value >= 0 };
const DELAY: Kind = {
  expected: `a number of milliseconds, from 0 to ${LONGEST_TIMER_MS}`,
  fits: (value) => typeof value === "number" && value >= 0 && value <= LONGEST_TIMER_MS,
};
const SILENCE: Kind = {
  expected: `a number of milliseconds, more than 0 and up to ${LONGEST_TIMER_MS}`,
  fits: (value) => value !== 0 && DELAY.fits(value),
};
const SIGNAL: Kind = {
  expected: "an AbortSignal",
  // Of any realm, or of a library for older platforms.
  fits: (value) => OBJECT.fits(value) && FUNCTION.fits((value as Partial<AbortSignal>).addEventListener),
};

const STREAM_OPTIONS: Readonly<Record<keyof StreamOptions, Kind>> = {
  key: SECRET,
  token: SECRET,
  subscription: TEXT,
  seqStart: NUMBER,
  seqEnd: NUMBER,
  timeStart: TIME,
  onGap: EARLIEST,
  onMarker: FUNCTION,
  onReconnect: FUNCTION,
  retry: OBJECT,
  silenceMs: SILENCE,
  signal: SIGNAL,
  fetch: FUNCTION,
};

const RETRY_OPTIONS: Readonly<Record<keyof RetryOptions, Kind>> = { limit: COUNT, firstDelayMs: DELAY, longestDelayMs: DELAY };

/**
 * Checks options, for programs that no compiler has checked. `undefined` counts as not given.
 *
 * @throws {TypeError} There is no such option, or it is something else than it must be. It shows no key.
 */
export function checkOptions(options: StreamOptions): void {
  if (!OBJECT.fits(options)) throw new TypeError(`the options are an object, not ${typeOf(options)}`);
  check("", options, STREAM_OPTIONS);
  if (options.retry !== undefined) check("retry.", options.retry, RETRY_OPTIONS);
}

function check(prefix: string, options: object, kinds: Readonly<Record<string, Kind>>): void {
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    const kind = Object.hasOwn(kinds, name) ? kinds[name] : undefined;
    if (kind === undefined) {
      const names = Object.keys(kinds).map((known) => prefix + known);
      throw new TypeError(`there is no option ${prefix}${name}: there are ${names.join(", ")}`);
    }
    if (value !== undefined && !kind.fits(value)) throw new TypeError(`${prefix}${name} is ${kind.expected}, not ${shown(kind, value)}`);
  }
}

/** Describes a value that an option cannot have. A text may be a key that stands in the wrong place. */
function shown(kind: Kind, value: unknown): string {
  if (typeof value === "number") return String(value);
  return kind === NUMBER && typeof value === "string" ? JSON.stringify(value) : typeOf(value);
}

function typeOf(value: unknown): string {
  if (value === null) return "null";
  return typeof value === "object" ? "such an object" : `a ${typeof value}`;
}

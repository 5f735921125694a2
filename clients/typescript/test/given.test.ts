import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type StreamOptions } from "datastream-client";

const URL = "ws://h/stream";
const NAMES =
  "key, token, subscription, seqStart, seqEnd, timeStart, onGap, onMarker, onReconnect, retry, silenceMs, signal, fetch";
const MILLISECONDS = "a number of milliseconds, from 0 to 2147483647";
const DIGITS = 'a string of the digits 0 to 9, or a bigint: "0" or 0n';

test("an option that there is not or that is something else is refused", () => {
  const cases: [options: unknown, message: string][] = [
    [{ seqstart: "1" }, `there is no option seqstart: there are ${NAMES}`],
    [{ seq_start: "1" }, `there is no option seq_start: there are ${NAMES}`],
    [{ toString: "1" }, `there is no option toString: there are ${NAMES}`],
    [{ retry: { limits: 3 } }, "there is no option retry.limits: there are retry.limit, retry.firstDelayMs, retry.longestDelayMs"],
    ["SECRET", "the options are an object, not a string"],
    [null, "the options are an object, not null"],
    [{ key: 5 }, "key is a string or a function, not 5"],
    [{ token: null }, "token is a string or a function, not null"],
    [{ subscription: ["a/b"] }, "subscription is a string, not such an object"],
    [{ seqStart: 5 }, `seqStart is ${DIGITS}, not 5`],
    [{ seqStart: "1e3" }, `seqStart is ${DIGITS}, not "1e3"`],
    [{ seqStart: "1", seqEnd: -1n }, `seqEnd is ${DIGITS}, not a bigint`],
    [{ timeStart: new Date("never") }, "timeStart is a string or a valid Date, not such an object"],
    [{ onGap: "latest" }, 'onGap is "earliest", not a string'],
    [{ onMarker: "x" }, "onMarker is a function, not a string"],
    [{ onReconnect: null }, "onReconnect is a function, not null"],
    [{ retry: 3 }, "retry is an object, not 3"],
    [{ retry: { limit: "3" } }, "retry.limit is a number that is not negative, not a string"],
    [{ retry: { firstDelayMs: -1 } }, `retry.firstDelayMs is ${MILLISECONDS}, not -1`],
    [{ retry: { longestDelayMs: Infinity } }, `retry.longestDelayMs is ${MILLISECONDS}, not Infinity`],
    [{ silenceMs: 0 }, "silenceMs is a number of milliseconds, more than 0 and up to 2147483647, not 0"],
    [{ signal: {} }, "signal is an AbortSignal, not such an object"],
    [{ fetch: "fetch" }, "fetch is a function, not a string"],
  ];
  for (const [options, message] of cases) {
    assert.throws(() => connect(URL, options as StreamOptions), { name: "TypeError", message });
  }
});

test("an option that is undefined counts as not given", () => {
  const nothing = Object.fromEntries(NAMES.split(", ").map((name) => [name, undefined]));
  assert.equal(connect(URL, { ...nothing, seqStart: 5n }).position, "5");
});

test("options of every kind are taken", () => {
  const all: StreamOptions[] = [
    { key: "k", seqStart: "0", seqEnd: 9n, retry: { limit: Infinity, firstDelayMs: 0, longestDelayMs: 1.5 } },
    { token: () => "t", subscription: "a/b", timeStart: new Date(0), onGap: "earliest", silenceMs: 1 },
    { signal: new AbortController().signal, fetch, onMarker: () => undefined, onReconnect: () => undefined },
  ];
  for (const options of all) connect(URL, options);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { Endpoint } from "#dist/endpoint.js";
import { connect, CredentialError, type StreamOptions } from "datastream-client";

async function request(url: string, options: StreamOptions = {}, position?: string): Promise<[url: string, bearer: string | null]> {
  const { url: to, headers } = await new Endpoint(url, options).request(position);
  assert.equal(headers.get("Accept"), "application/x-ndjson");
  return [to, headers.get("Authorization")];
}

test("the URL of a stream becomes that of its events", async () => {
  const cases = [
    ["ws://h:1/stream?stream_key=k", "http://h:1/events?stream_key=k&markers=1"],
    ["wss://h/stream?stream_key=k&seq_start=", "https://h/events?stream_key=k&markers=1"],
    ["WSS://h?stream_key=k#x", "https://h/events?stream_key=k&markers=1"],
    ["https://h/events?stream_key=k", "https://h/events?stream_key=k&markers=1"],
    ["https://h/team/stream?stream_key=k&markers=0", "https://h/team/events?stream_key=k&markers=1"],
  ] as const;
  for (const [given, expected] of cases) assert.deepEqual(await request(given), [expected, null]);
});

test("options come before the URL, and a position before both", async () => {
  const url = "wss://h/stream?time_start=2026-01-01T00:00:00Z&seq_end=9";
  const options = { key: "k", seqStart: 123456789012345678901234567890n, seqEnd: "200000000000000000000000000000" } as const;
  const expected = "https://h/events?seq_end=200000000000000000000000000000";
  assert.deepEqual(await request(url, options), [`${expected}&seq_start=123456789012345678901234567890&markers=1`, "Bearer k"]);
  assert.deepEqual(await request(url, options, "8"), [`${expected}&seq_start=8&markers=1`, "Bearer k"]);
  const time = new Date("2026-02-03T04:05:06Z");
  const [timed] = await request("wss://h", { key: "k", timeStart: time, onGap: "earliest", subscription: "a/b" });
  assert.equal(timed, "https://h/events?subscription=a%2Fb&time_start=2026-02-03T04%3A05%3A06.000Z&on_gap=earliest&markers=1");
});

test("a token is had anew for each request", async () => {
  let n = 0;
  const endpoint = new Endpoint("wss://h", { token: () => Promise.resolve(`t${(n += 1)}`), subscription: "a/b" });
  for (const expected of ["Bearer t1", "Bearer t2"]) {
    assert.equal((await endpoint.request(undefined)).headers.get("Authorization"), expected);
  }
});

test("a token that cannot be had is a failure that may pass", async () => {
  const cause = new Error("no issuer");
  const endpoint = new Endpoint("wss://h", { token: () => Promise.reject(cause) });
  await assert.rejects(endpoint.request("1"), (error) => error instanceof CredentialError && error.cause === cause && error.retryable);
  await assert.rejects(new Endpoint("wss://h", { key: () => "a\nb" }).request("1"), CredentialError);
});

test("what cannot be used is refused at once, without showing the key", () => {
  const cases: [url: string, options?: StreamOptions][] = [
    ["h:1/stream?stream_key=SECRET"],
    ["ftp://h/stream?stream_key=SECRET"],
    ["ws://?stream_key=SECRET"],
    ["ws://user:SECRET@h/stream"],
    ["ws://h/stream?stream_key=SECRET", { token: "t" }],
    ["ws://h/stream", { key: "SECRET", token: "t" }],
    ["ws://h/stream", { key: "SECRET\nKEY" }],
    ["ws://h/stream?stream_key=SECRET", { seqStart: "1e3" }],
    ["ws://h/stream?stream_key=SECRET", { seqStart: "1", timeStart: "2026-01-01T00:00:00Z" }],
    ["ws://h/stream?stream_key=SECRET", { seqEnd: "1" }],
    ["ws://h/stream?stream_key=SECRET&limit=3"],
  ];
  for (const [url, options] of cases) {
    assert.throws(() => connect(url, options), (error) => error instanceof TypeError && !error.message.includes("SECRET"), url);
  }
});

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
  const withoutKey = new Endpoint("wss://h", { key: () => undefined as unknown as string });
  for (const [bad, reason] of [
    [endpoint, "Error"],
    [new Endpoint("wss://h", { key: () => "SECRET\n" }), "the key ends with a line break, as from a file: use trim()"],
    [withoutKey, "the key is no string, but of type undefined"],
  ] as const) {
    const message = `no key or token could be had to connect with: ${reason}`;
    await assert.rejects(bad.request("1"), { name: "CredentialError", message });
  }
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
    ["ws://h/stream?stream_key=SECRET&wait=3"],
    ["ws://h/stream?stream_key=SECRET&format=sse"],
    ["ws://h/stream?stream_key=SECRET&ack=3"],
    ["ws://h/stream?stream_key=SECRET&seq_start=1e3"],
  ];
  for (const [url, options] of cases) {
    assert.throws(() => connect(url, options), (error) => error instanceof TypeError && !error.message.includes("SECRET"), url);
  }
});

test("a secret that no header may have is refused with the reason", () => {
  for (const name of ["key", "token"] as const) {
    for (const [secret, fault] of [
      ["", "is empty"],
      ["SECRET\n", "ends with a line break, as from a file: use trim()"],
      ["SECRET\r\n", "ends with a line break, as from a file: use trim()"],
      ["SECRET KEY", "has spaces or other characters that no header may have"],
      ["SECRÉT", "has spaces or other characters that no header may have"],
    ] as const) {
      assert.throws(() => connect("ws://h", { [name]: secret }), { name: "TypeError", message: `the ${name} ${fault}` });
    }
  }
});

test("what stands in the URL and cannot be used is named as it stands there", () => {
  const refused = (parameter: string, message: string): void => {
    assert.throws(() => connect(`ws://h/stream?stream_key=k&${parameter}`), { name: "TypeError", message });
  };
  refused("limit=3", "leave limit out of the URL: break out of the loop after so many events");
  refused("wait=3", "leave wait out of the URL: a stream waits for events");
  refused("format=sse", "leave format out of the URL: this library reads lines of JSON");
  refused("ack=3", "leave ack out of the URL: start with seqStart");
  refused("seq_start=1e3", 'seq_start in the URL is a sequence number, which has the digits 0 to 9 only: "1e3"');
});

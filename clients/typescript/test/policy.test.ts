import assert from "node:assert/strict";
import { test } from "node:test";
import { ReconnectPolicy } from "#dist/reconnect.js";
import { retryAfterMs } from "#dist/refusal.js";
import { SilenceLimit } from "#dist/silence.js";
import { ClosedError, ConnectionLostError, RefusedError } from "datastream-client";

const LOST = new ConnectionLostError("lost");

function between(value: number | undefined, least: number, most: number): void {
  assert.ok(value !== undefined && value >= least && value <= most, `${value ?? "none"} is not in ${least}..${most}`);
}

test("pauses double up to the longest, and begin again after progress", () => {
  const policy = new ReconnectPolicy();
  for (const longest of [500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) between(policy.after(LOST), longest / 2, longest);
  assert.equal(policy.failures, 8);
  policy.progress();
  between(policy.after(LOST), 250, 500);
});

test("pauses stay at the longest, however many failures there are", () => {
  const policy = new ReconnectPolicy();
  for (let n = 0; n < 2000; n += 1) between(policy.after(LOST), 0, 30_000);
});

test("a moved stream comes back at once, and backs off when it is moved again without progress", () => {
  for (const code of [1001, 1012]) {
    const policy = new ReconnectPolicy();
    const moved = new ClosedError(code, "moved");
    between(policy.after(moved), 0, 500);
    policy.progress();
    between(policy.after(moved), 0, 500);
    for (let n = 0; n < 6; n += 1) policy.after(moved);
    between(policy.after(moved), 15_000, 30_000);
  }
});

test("Retry-After is the shortest pause", () => {
  const policy = new ReconnectPolicy();
  assert.equal(policy.after(new RefusedError(503, "busy", "later", 45_000)), 45_000);
});

test("Retry-After is a number of seconds, and has a limit", () => {
  assert.equal(retryAfterMs("7"), 7000);
  assert.equal(retryAfterMs("86400"), 300_000);
  for (const bad of [null, "", "-1", "Wed, 21 Oct 2026 07:28:00 GMT"]) assert.equal(retryAfterMs(bad), 0);
});

test("a final failure and one beyond the limit are not tried again", () => {
  for (const status of [400, 401, 403, 404, 405, 406, 410]) {
    assert.equal(new ReconnectPolicy().after(new RefusedError(status, "e", "m")), undefined);
  }
  const policy = new ReconnectPolicy({ limit: 2 });
  assert.deepEqual([LOST, LOST, LOST].map((failure) => policy.after(failure) === undefined), [false, false, true]);
});

function limitAfter(arrivals: readonly (number | undefined)[], limit = new SilenceLimit(undefined)): SilenceLimit {
  for (const seconds of arrivals) limit.heartbeat(seconds === undefined ? undefined : 1000 * seconds);
  return limit;
}

test("silence is endured for three intervals of heartbeats", () => {
  const limit = limitAfter([0, 30]);
  assert.equal(limit.ms, 310_000);
  limit.restart();
  assert.equal(limitAfter([0, 30], limit).ms, 90_000);
  assert.equal(limitAfter([0, 30, 31, 60]).ms, 90_000);
});

test("the shortest intervals are known after three heartbeats", () => {
  assert.equal(limitAfter([0, 5, 10]).ms, 20_000);
});

test("heartbeats out of turn on a fresh stream make no short interval", () => {
  for (const fresh of [[0, 1], [0, 1, 30], [29, 30], [0, 1, 2, 3, 4], [0, 5, 12, 30], [0, 10, 30]]) {
    const limit = limitAfter(fresh);
    assert.equal(limit.ms, 310_000, fresh.join());
    limit.restart();
    assert.equal(limitAfter([0, 30, 60], limit).ms, 90_000, fresh.join());
  }
});

test("a gap that was too long counts after four in a row that were shorter", () => {
  for (const start of [[0, 45], [0, 10, 55], [0, 5, 15, 20, 65]]) {
    const limit = limitAfter(start);
    for (let n = 1; n <= 4; n += 1) {
      assert.equal(limit.ms, 310_000, start.join());
      limitAfter([(start.at(-1) ?? 0) + 30 * n], limit);
    }
    assert.equal(limit.ms, 135_000, start.join());
  }
});

test("gaps that no interval makes tell nothing", () => {
  assert.equal(limitAfter([0, 3600, 7200, 10_800]).ms, 310_000);
  assert.equal(limitAfter([0, 30, 60, 3660, 3690]).ms, 90_000);
});

test("no interval is longer than a subscription may ask for", () => {
  assert.equal(limitAfter([0, 301, 602]).ms, 900_000);
});

test("a connection that was given up makes the next one start anew", () => {
  const limit = limitAfter([0, 5, 10]);
  limit.gaveUp();
  assert.equal(limit.ms, 310_000);
  const fixed = new SilenceLimit(7000);
  fixed.gaveUp();
  assert.equal(fixed.ms, 7000);
});

test("heartbeats that were read late tell no interval", () => {
  const limit = limitAfter([undefined, 10, undefined, 20, undefined, 30]);
  assert.equal(limit.ms, 310_000);
  limit.restart();
  assert.equal(limitAfter([3, 11, 19], limit).ms, 24_000);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { SeenEvents } from "#dist/seq.js";
import { after, identityOf } from "datastream-client";

/** Number of the event in partition `own` that brings a stream to these next offsets. */
function seqOf(own: number, ...next: number[]): string {
  return `1${next.map((n) => String(n).padStart(15, "0")).join("")}${String(own * 2).padStart(3, "0")}`;
}

test("the number after carries over any number of digits", () => {
  assert.equal(after("1"), "2");
  assert.equal(after("999"), "1000");
  assert.equal(after("123456789012345678901234567890123456789099"), "123456789012345678901234567890123456789100");
  for (const bad of ["", "-1", "1.0", "1e3", " 1", "0x1", "٣"]) assert.throws(() => after(bad), RangeError, bad);
});

test("the identity of an event is its partition and offset", () => {
  assert.deepEqual(identityOf("7"), { partition: 0, offset: 6 });
  assert.deepEqual(identityOf("007"), { partition: 0, offset: 6 });
  assert.deepEqual(identityOf("999999999999999"), { partition: 0, offset: 999_999_999_999_998 });
  assert.deepEqual(identityOf(seqOf(1, 3, 4)), { partition: 1, offset: 3 });
  assert.deepEqual(identityOf(seqOf(15, ...Array<number>(16).fill(9))), { partition: 15, offset: 8 });
});

test("what is no number of an event has no identity", () => {
  const between = after(seqOf(0, 3, 4));
  const long = ["99999999999999999999", between, seqOf(2, 3, 4), seqOf(0, 3), seqOf(1, 3, 0), `2${seqOf(1, 3, 4).slice(1)}`];
  for (const text of ["", "0", "-1", "7.0", ...long]) assert.equal(identityOf(text), undefined, text);
});

test("an event is seen once, under whichever number it comes", () => {
  const seen = new SeenEvents();
  const isNew = (seq: string): boolean => {
    const identity = identityOf(seq);
    assert.ok(identity);
    return seen.add(identity);
  };
  assert.deepEqual([seqOf(0, 1, 0), seqOf(1, 1, 1), seqOf(0, 2, 1)].map(isNew), [true, true, true]);
  // Another gateway merges the partitions in another order.
  assert.deepEqual([seqOf(1, 0, 1), seqOf(0, 1, 1), seqOf(0, 3, 1)].map(isNew), [false, false, true]);
});

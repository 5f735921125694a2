import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { parseEvent, summarize } from "datastream-client";

interface Vector {
  readonly name: string;
  readonly event: string;
  readonly seq: string | null;
  readonly event_type: string | null;
  readonly dsn: string | null;
  readonly property_name: string | null;
  readonly happened: string | null;
  readonly what: string;
}

/** The tests run in build/test of the library, which is in clients/typescript of the repository. */
const VECTORS = new URL("../../../../protocol/tests/vectors/events.json", import.meta.url);

describe("the test vectors", () => {
  for (const vector of JSON.parse(readFileSync(VECTORS, "utf8")) as Vector[]) {
    test(vector.name, () => {
      const event = parseEvent(vector.event);
      const found = {
        name: vector.name,
        event: event.json,
        seq: event.seq,
        event_type: event.typeName ?? null,
        dsn: event.dsn ?? null,
        property_name: event.propertyName ?? null,
        happened: event.happened ?? null,
        what: summarize(event),
      };
      assert.deepEqual(found, { ...vector });
    });
  }
});

function withBody(type: string, body: string): string {
  return `{"seq":"7","metadata":{"event_type":"${type}","dsn":"AC1","oem_model":"m"},${body}}`;
}

test("the type of an event decides the type of its body", () => {
  const event = parseEvent(withBody("connectivity", '"connection":{"status":"Online","user_uuid":null}'));
  assert.equal(event.eventType, "connectivity");
  assert.deepEqual(event.body, { status: "Online", user_uuid: null });
  assert.equal(event.value, undefined);
  assert.equal(event.metadata.text("oem_model"), "m");
  assert.equal(event.metadata.toObject().oem_model, "m");
  assert.deepEqual([event.next, event.identity], ["8", { partition: 0, offset: 6 }]);
});

test("a value is parsed, and exact as text", () => {
  for (const raw of ["12345678901234567890", "1e400", "-0", '"\\ud83d"', '{"x":[1, 2.0]}', "null", "false"]) {
    const event = parseEvent(withBody("datapoint", `"datapoint":{"value":${raw}, "id":"d"}`));
    assert.equal(event.rawValue, raw);
    assert.deepEqual(event.value, JSON.parse(raw));
  }
  const event = parseEvent(withBody("datapointack", '"datapoint":{"ack_status":200}'));
  assert.deepEqual([event.rawValue, event.value], [undefined, undefined]);
});

test("of two members the first one counts in a body, too, unless it is null", () => {
  const event = parseEvent(withBody("datapoint", '"datapoint":{"id":null,"__proto__":1,"id":"a","id":"b","value":"}]\\""}'));
  assert.deepEqual(event.body, JSON.parse('{"id":"a","__proto__":1,"value":"}]\\""}'));
});

test("an event without the body of its type has none", () => {
  for (const text of [withBody("reboot", '"datapoint":{"value":1}'), withBody("datapoint", '"datapoint":[1]'), '{"seq":"7"}']) {
    const event = parseEvent(text);
    assert.deepEqual([event.eventType, event.body, event.rawValue], [undefined, undefined, undefined]);
  }
});

test("deep nesting hides nothing", () => {
  const deep = "[".repeat(20_000) + "]".repeat(20_000);
  const event = parseEvent(`{"seq":"7","deep":${deep},"metadata":{"dsn":"AC1"}}`);
  assert.equal(event.dsn, "AC1");
});

test("only a JSON object with the number of an event is one", () => {
  for (const text of ["", "[]", "7", "{", "{} {}", "{}", '{"seq":"0"}', '{"seq":"x"}', '{"seq":null}']) {
    assert.throws(() => parseEvent(text), SyntaxError, text);
  }
});

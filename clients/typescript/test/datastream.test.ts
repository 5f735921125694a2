// Against the real program, where the environment variable DATASTREAM_BIN names it.

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connect, RefusedError, type DatastreamEvent } from "datastream-client";
import { collect, numbers } from "./collect.js";
import { Dev, folderOf, PROGRAM } from "./dev.js";

const EVENTS = [
  '{"metadata":{"event_type":"datapoint","dsn":"AC1","property_name":"p"},"datapoint":{"value":12345678901234567890}}',
  '{"metadata":{"event_type":"datapointack","dsn":"AC1","property_name":"p"},"datapoint":{"value":1e400,"ack_status":200}}',
  '{"metadata":{"event_type":"connectivity","dsn":"Gr\\u00fc\\u00dfe"},"connection":{"status":"Online"}}',
  '{"metadata":{"event_type":"location","dsn":"AC1"},"location_event":{"lat":" 44.76","long":"-69.42"}}',
  '{"metadata":{"event_type":"registration","dsn":"AC1"},"registration_event":{"registered":true}}',
];

if (PROGRAM !== "") {
  describe("with datastream dev", { timeout: 60_000 }, () => {
    test("a stream goes on over a restart, and tells why it is refused", async (context) => {
      const folder = await folderOf(context);
      let dev = await Dev.start(folder);
      context.after(() => dev.stop());
      const { url } = dev;

      await dev.publish(EVENTS);
      const events: DatastreamEvent[] = [];
      const { seqs, markers, reconnects, failure } = await collect(url, { seqStart: "0", seqEnd: "10" }, async (event, stream) => {
        events.push(event);
        if (event.seq === "1") {
          const second = await collect(url, { retry: { limit: 0 } });
          assert.ok(second.failure instanceof RefusedError);
          assert.deepEqual([second.failure.status, second.failure.error], [409, "in_use"]);
        }
        if (event.seq === "5") {
          assert.equal(stream.position, "5");
          await dev.stop();
          dev = await Dev.start(folder, new URL(url).host);
          await dev.publish(EVENTS);
        }
      });
      assert.deepEqual([failure, seqs], [undefined, numbers(1, 10)]);
      assert.ok(reconnects.length > 0);
      assert.ok(markers.every(({ control }) => control === "live"));
      const [datapoint, ack, connectivity, location, registration] = events;
      assert.equal(datapoint?.json, EVENTS[0]?.replace("{", '{"seq":"1",'));
      assert.equal(datapoint?.rawValue, "12345678901234567890");
      assert.ok(ack?.eventType === "datapointack" && ack.rawValue === "1e400" && ack.body.ack_status === 200);
      assert.ok(connectivity?.dsn === "Grüße" && connectivity.eventType === "connectivity");
      assert.ok(location?.eventType === "location" && location.body.lat === " 44.76");
      assert.ok(registration?.eventType === "registration" && registration.body.registered === true);

      const refused = async (to: string, options = {}): Promise<unknown[]> => {
        const { failure } = await collect(to, options);
        assert.ok(failure instanceof RefusedError, String(failure));
        return [failure.status, failure.error];
      };
      const other = url.replace(/stream_key=.*/, "stream_key=00000000000000000000000000000000");
      assert.deepEqual(await refused(other), [401, "unauthorized"]);
      assert.deepEqual(await refused(url, { seqStart: "999" }), [400, "bad_position"]);
    });

    test("a key in the header opens a live stream, which can be closed", async (context) => {
      const folder = await folderOf(context);
      const dev = await Dev.start(folder);
      context.after(() => dev.stop());
      const url = new URL(dev.url);
      const key = url.searchParams.get("stream_key") ?? "";
      url.searchParams.delete("stream_key");
      let published: Promise<void> | undefined;
      const onMarker = (): void => {
        published = dev.publish(EVENTS.slice(0, 1));
      };
      const stream = connect(url, { key, onMarker });
      assert.equal((await stream.next()).value?.seq, "1");
      await published;
      await stream.close();
    });
  });
}

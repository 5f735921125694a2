import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { connect, GapError, ProtocolError } from "datastream-client";
import { collect, numbers } from "./collect.js";
import { datapoint, Gateway } from "./gateway.js";

describe("reading", { timeout: 20_000 }, () => {
  test("a stream brings its events, and ends where it was asked to", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      await exchange.accept().heartbeat();
      await exchange.events(1, 3);
      exchange.close(1000, "seq_end reached", "4");
    });
    const { seqs, stream, failure, reconnects } = await collect(gateway.url, { seqStart: "1", seqEnd: "3" });
    assert.deepEqual([seqs, stream.position, failure, reconnects], [numbers(1, 3), "4", undefined, []]);
    const [exchange] = gateway.exchanges;
    assert.equal(exchange?.request.url, "/events?stream_key=0123&seq_start=1&seq_end=3&markers=1");
    assert.equal(exchange.request.headers.accept, "application/x-ndjson");
    assert.equal(exchange.request.headers["accept-encoding"], "identity");
  });

  test("lines may come in any pieces", async () => {
    const text = `${datapoint(1, '"ü€😀"')}\n\n${datapoint(2, '"x"')}\n{"control":"close","code":1000,"reason":""}\n`;
    await using gateway = await Gateway.start(async ({ response, ...exchange }) => {
      response.writeHead(200, { "Content-Type": "application/x-ndjson; charset=utf-8" });
      for (const byte of Buffer.from(text)) {
        await new Promise((resolve) => response.write(Buffer.of(byte), resolve));
      }
      response.end();
      await exchange.gone;
    });
    const values: unknown[] = [];
    const { failure } = await collect(gateway.url, {}, ({ value }) => void values.push(value));
    assert.deepEqual([values, failure], [["ü€😀", "x"], undefined]);
  });

  test("a server waits for a slow reader, who loses nothing", async () => {
    let blocked: () => void = () => undefined;
    const isBlocked = new Promise<void>((resolve) => (blocked = resolve));
    const value = `"${"x".repeat(100_000)}"`;
    await using gateway = await Gateway.start(async (exchange) => {
      exchange.accept();
      for (let seq = 1; seq <= 300; seq += 1) {
        const sent = exchange.line(datapoint(seq, value));
        // What the sockets hold is much less than 30 MB.
        if (exchange.response.writableNeedDrain && exchange.response.writableLength > 1 << 16) blocked();
        await sent;
      }
      exchange.close(1000, "done");
    });
    const { seqs, reconnects } = await collect(gateway.url, {}, async ({ seq }) => {
      if (seq === "1") await isBlocked;
    });
    assert.deepEqual([seqs, reconnects], [numbers(1, 300), []]);
  });

  test("several streams are read at once", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      const first = Number(exchange.query.get("seq_start"));
      await exchange.accept().events(first, first + 9);
      exchange.close(1000, "done");
    });
    const starts = [1, 101, 201, 301, 401, 501, 601, 701];
    const all = await Promise.all(starts.map((start) => collect(gateway.url, { seqStart: String(start) })));
    assert.deepEqual(all.map(({ seqs }) => seqs), starts.map((start) => numbers(start, start + 9)));
  });

  test("a control line that is not known is left out", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      await exchange.accept().line('{"control":"later","x":1}');
      await exchange.events(1, 1);
      exchange.close(1000, "done");
    });
    const { seqs, failure } = await collect(gateway.url);
    assert.deepEqual([seqs, failure], [["1"], undefined]);
  });

  test("what is no stream ends it with what came instead", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      if (exchange.query.get("seq_start") === "1") {
        exchange.response.writeHead(200, { "Content-Type": "text/html" }).end("<html>");
      } else {
        await exchange.accept().line("nonsense");
        await exchange.gone;
      }
    });
    const [page, line] = [await collect(gateway.url, { seqStart: "1" }), await collect(gateway.url, { seqStart: "2" })];
    assert.ok(page.failure instanceof ProtocolError && line.failure instanceof ProtocolError);
    assert.equal(page.failure.message, "200 with text/html instead of application/x-ndjson: no gateway answers there");
    assert.equal(line.failure.message, "not a line of a stream: nonsense");
    assert.equal(gateway.exchanges.length, 2);
  });

  test("two loops on one stream are refused", async () => {
    await using gateway = await Gateway.start((exchange) => void exchange.accept());
    const stream = connect(gateway.url);
    const first = stream.next();
    await assert.rejects(stream.next(), /one loop/);
    await stream.close();
    assert.deepEqual(await first, { done: true, value: undefined });
  });
});

describe("positions", { timeout: 20_000 }, () => {
  test("the position is behind the last event that was handled", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      await exchange.accept().events(Number(exchange.query.get("seq_start")), 9);
      exchange.close(1000, "done");
    });
    const positions: (string | undefined)[] = [];
    const stream = connect(gateway.url, { seqStart: "5" });
    positions.push(stream.position);
    for await (const event of stream) {
      positions.push(stream.position, event.next);
      if (event.seq === "6") break;
    }
    assert.deepEqual([...positions, stream.position], ["5", "5", "6", "6", "7", "6"]);
    const { seqs } = await collect(gateway.url, { seqStart: stream.position ?? "" });
    assert.deepEqual(seqs, numbers(6, 9));
  });

  test("markers are told, and move the position", async () => {
    const huge = "1".repeat(200);
    await using gateway = await Gateway.start(async (exchange) => {
      exchange.accept();
      if (exchange.n === 0) {
        await exchange.marker("gap", "40");
        await exchange.marker("live", huge);
        exchange.response.end();
      } else {
        exchange.close(1000, "done");
      }
    });
    const { markers, stream } = await collect(gateway.url, { timeStart: "2026-01-01T00:00:00Z", onGap: "earliest" });
    assert.deepEqual(markers, [{ control: "gap", seqStart: "40" }, { control: "live", seqStart: huge }]);
    assert.deepEqual([gateway.asked("seq_start"), stream.position], [[null, huge], huge]);
    assert.deepEqual(gateway.asked("time_start"), ["2026-01-01T00:00:00Z", null]);
    assert.deepEqual(gateway.asked("on_gap"), ["earliest", "earliest"]);
  });

  test("a gap that nobody asked to be told of ends the stream", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      await exchange.accept().marker("gap", "40");
      await exchange.gone;
    });
    const stream = connect(gateway.url);
    await assert.rejects(stream.next(), (error) => error instanceof GapError && error.seqStart === "40");
    assert.deepEqual([await stream.next(), stream.position], [{ done: true, value: undefined }, "40"]);
  });

  test("a close line moves the position, unless events have expired", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      exchange.accept();
      if (exchange.n === 0) await exchange.events(1, 1);
      const [code, seqStart] = ([[1013, "50"], [1011, "90"], [1000, "60"]] as const)[exchange.n] ?? [1000, "0"];
      exchange.close(code, "why", seqStart);
    });
    const { stream } = await collect(gateway.url, { seqStart: "1" });
    assert.deepEqual([gateway.asked("seq_start"), stream.position], [["1", "50", "50"], "60"]);
  });
});

describe("ending", { timeout: 20_000 }, () => {
  test("leaving the loop ends the connection", async () => {
    await using gateway = await Gateway.start((exchange) => exchange.accept().events(1, 2));
    for await (const event of connect(gateway.url)) {
      assert.equal(event.seq, "1");
      break;
    }
    await gateway.exchanges[0]?.gone;
  });

  test("close ends a loop that waits, and the connection", async () => {
    await using gateway = await Gateway.start((exchange) => exchange.accept().events(1, 1));
    const stream = connect(gateway.url);
    const seqs: string[] = [];
    for await (const { seq } of stream) {
      seqs.push(seq);
      setImmediate(() => void stream.close());
    }
    assert.deepEqual(seqs, ["1"]);
    await gateway.exchanges[0]?.gone;
    await stream.close();
  });

  test("a stream is closed at the end of its block", async () => {
    await using gateway = await Gateway.start((exchange) => exchange.accept().events(1, 1));
    {
      await using stream = connect(gateway.url);
      assert.equal((await stream.next()).value?.seq, "1");
    }
    await gateway.exchanges[0]?.gone;
  });

  test("a signal ends the loop with its reason", async () => {
    await using gateway = await Gateway.start((exchange) => exchange.accept().events(1, 1));
    const abort = new AbortController();
    const reason = new Error("enough");
    const { seqs, failure } = await collect(gateway.url, { signal: abort.signal }, () => {
      setImmediate(() => {
        abort.abort(reason);
      });
    });
    assert.deepEqual([seqs, failure], [["1"], reason]);
    const late = await collect(gateway.url, { signal: abort.signal });
    assert.deepEqual([late.failure, gateway.exchanges.length], [reason, 1]);
  });

  test("a signal ends a pause, a request and a token that does not come", { timeout: 5000 }, async () => {
    await using gateway = await Gateway.start((exchange) => {
      if (exchange.query.get("seq_start") === "1") exchange.refuse(503, "busy", "later", { "Retry-After": "200" });
      else abort.abort();
    });
    let abort = new AbortController();
    const ends = async (options: object): Promise<void> => {
      abort = new AbortController();
      const { failure } = await collect(gateway.url, { signal: abort.signal, ...options });
      assert.equal(failure, abort.signal.reason);
    };
    await ends({ seqStart: "1", onReconnect: () => setImmediate(() => { abort.abort(); }) });
    await ends({ seqStart: "2" });
    const stream = connect(`ws://${gateway.host}`, { token: () => new Promise<string>(() => undefined) });
    setImmediate(() => void stream.close());
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
  });

  test("an error of a callback ends the loop", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      await exchange.accept().marker("live", "1");
      await exchange.gone;
    });
    const mistake = new Error("mistake");
    const onMarker = (): void => {
      throw mistake;
    };
    assert.equal((await collect(gateway.url, { onMarker })).failure, mistake);
  });
});

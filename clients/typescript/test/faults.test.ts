import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ClosedError, connect, ConnectionLostError, RefusedError, type Reconnect } from "datastream-client";
import { collect, numbers } from "./collect.js";
import { datapoint, Gateway, type Exchange } from "./gateway.js";

/** Sends the events from where the client asks, up to 9, but does `fault` first, after 4 of them, on the first connection. */
function faulty(fault: (exchange: Exchange) => Promise<void> | void): (exchange: Exchange) => Promise<void> {
  return async (exchange) => {
    const first = Number(exchange.query.get("seq_start"));
    exchange.accept();
    if (exchange.n === 0) {
      await exchange.events(first, first + 3);
      await fault(exchange);
    } else {
      await exchange.events(first, 9);
      exchange.close(1000, "seq_end reached");
    }
  };
}

const RANGE = { seqStart: "1", seqEnd: "9" };

describe("a lost connection", { timeout: 20_000 }, () => {
  const faults: Record<string, (exchange: Exchange) => Promise<void> | void> = {
    "that breaks": (exchange) => {
      exchange.cut();
    },
    "that breaks within an event": (exchange) => {
      exchange.cut(datapoint(5).slice(0, 40));
    },
    "that ends without a reason": (exchange) => void exchange.response.end(),
    "that ends within an event": (exchange) => void exchange.response.end(datapoint(5)),
    "that falls silent": async (exchange) => {
      await exchange.gone;
    },
  };
  for (const [name, fault] of Object.entries(faults)) {
    test(`${name} is made again, after what was handled`, async () => {
      await using gateway = await Gateway.start(faulty(fault));
      const { seqs, reconnects, failure } = await collect(gateway.url, { ...RANGE, silenceMs: 200 });
      assert.deepEqual([seqs, failure], [numbers(1, 9), undefined]);
      assert.equal(gateway.exchanges.length, 2);
      assert.ok(reconnects[0]?.failure instanceof ConnectionLostError, name);
      assert.equal(reconnects[0].attempt, 1);
    });
  }

  test("is none that was not read while the program stood still", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      await exchange.accept().events(1, 1);
    });
    const stream = connect(gateway.url, { silenceMs: 200, onReconnect: ({ failure }) => assert.fail(failure) });
    await stream.next();
    const second = stream.next();
    await gateway.exchanges[0]?.events(2, 2);
    // Longer than the connection may be silent.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 400);
    assert.equal((await second).value?.seq, "2");
    await stream.close();
  });

  test("is made again from the event that a slow reader is at", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      const first = Number(exchange.query.get("seq_start"));
      exchange.accept();
      await exchange.events(first, 9);
      if (exchange.n === 0) exchange.cut();
      else exchange.close(1000, "done");
    });
    const { seqs } = await collect(gateway.url, RANGE, async ({ seq }) => {
      if (seq === "3") await gateway.exchanges[0]?.gone;
    });
    assert.deepEqual(seqs, numbers(1, 9));
  });

  test("is told with its cause while nobody listens", async () => {
    const gateway = await Gateway.start(() => undefined);
    const { url } = gateway;
    await gateway[Symbol.asyncDispose]();
    const { failure, reconnects } = await collect(url, { retry: { limit: 3, firstDelayMs: 1 } });
    assert.ok(failure instanceof ConnectionLostError);
    assert.match(failure.message, /^cannot connect: .*ECONNREFUSED/);
    assert.deepEqual(reconnects.map(({ attempt }) => attempt), [1, 2, 3]);
  });

  test("events and heartbeats begin the count of failures again", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      exchange.accept();
      if (exchange.n < 4) {
        await (exchange.n % 2 === 0 ? exchange.events(exchange.n + 1, exchange.n + 1) : exchange.heartbeat());
        exchange.response.end();
      } else {
        exchange.response.end();
      }
    });
    const { seqs, reconnects } = await collect(gateway.url, { retry: { limit: 2, firstDelayMs: 1 } });
    assert.deepEqual(seqs, ["1", "3"]);
    assert.deepEqual(reconnects.map(({ attempt }) => attempt), [1, 1, 1, 1, 2]);
  });

  test("events that are sent again are left out", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      exchange.accept();
      for (const [first, last] of [[1, 4], [3, 6], [1, 7]] as const) await exchange.events(first, last);
      if (exchange.n === 0) exchange.response.end();
      else exchange.close(1000, "done");
    });
    const { seqs } = await collect(gateway.url);
    assert.deepEqual(seqs, numbers(1, 7));
  });
});

describe("a close line", { timeout: 20_000 }, () => {
  for (const code of [1001, 1008, 1011, 1012, 1013]) {
    test(`of ${code} leads to a new connection`, async () => {
      await using gateway = await Gateway.start(
        faulty((exchange) => {
          exchange.close(code, "for a reason");
        }),
      );
      const { seqs, reconnects } = await collect(gateway.url, RANGE);
      assert.deepEqual([seqs, gateway.asked("seq_start")], [numbers(1, 9), ["1", "5"]]);
      const [reconnect] = reconnects as [Reconnect];
      assert.ok(reconnect.failure instanceof ClosedError);
      assert.deepEqual([reconnect.failure.code, reconnect.failure.reason], [code, "for a reason"]);
    });
  }

  test("of 1008 is final if the next connection is refused", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      if (exchange.n === 0) {
        await exchange.accept().events(1, 1);
        exchange.close(1008, "the subscription is suspended");
      } else {
        exchange.refuse(403, "suspended", "the subscription is suspended");
      }
    });
    const { failure, seqs } = await collect(gateway.url);
    assert.deepEqual([String(failure), seqs], ["RefusedError: 403 suspended: the subscription is suspended", ["1"]]);
  });

  test("of an expired token leads to a new one", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      await exchange.accept().events(exchange.n + 1, exchange.n + 1);
      exchange.close(exchange.n === 0 ? 1008 : 1000, "the token has expired");
    });
    let n = 0;
    await collect(`ws://${gateway.host}`, { token: () => `token-${(n += 1)}` });
    const bearers = gateway.exchanges.map(({ request }) => request.headers.authorization);
    assert.deepEqual(bearers, ["Bearer token-1", "Bearer token-2"]);
  });
});

describe("a refusal", { timeout: 20_000 }, () => {
  const final = [
    [400, "bad_position"],
    [401, "unauthorized"],
    [403, "forbidden"],
    [404, "not_found"],
    [405, "method_not_allowed"],
    [406, "not_acceptable"],
    [410, "gone"],
  ] as const;
  for (const [status, error] of final) {
    test(`with ${status} is final, and says why`, async () => {
      await using gateway = await Gateway.start((exchange) => {
        exchange.refuse(status, error, "because");
      });
      await assert.rejects(connect(gateway.url).next(), (found) => {
        assert.ok(found instanceof RefusedError);
        assert.deepEqual([found.status, found.error, found.explanation], [status, error, "because"]);
        assert.equal(found.message, `${status} ${error}: because`);
        return true;
      });
      assert.equal(gateway.exchanges.length, 1);
    });
  }

  for (const status of [408, 409, 425, 429, 500, 502, 503]) {
    test(`with ${status} passes`, async () => {
      await using gateway = await Gateway.start((exchange) => {
        if (exchange.n < 2) exchange.refuse(status, "busy", "later");
        else exchange.accept().close(1000, "done");
      });
      const { failure, reconnects } = await collect(gateway.url);
      assert.deepEqual([failure, reconnects.map(({ failure }) => String(failure))], [
        undefined,
        Array(2).fill(`RefusedError: ${status} busy: later`),
      ]);
    });
  }

  test("is followed by the pause that it asks for", async () => {
    await using gateway = await Gateway.start((exchange) => {
      if (exchange.n === 0) exchange.refuse(503, "busy", "later", { "Retry-After": "1" });
      else exchange.accept().close(1000, "done");
    });
    const { reconnects } = await collect(gateway.url);
    assert.deepEqual(reconnects.map(({ delayMs }) => delayMs), [1000]);
  });

  test("of a proxy that gives no reason has its status", async () => {
    await using gateway = await Gateway.start((exchange) => {
      exchange.response.writeHead(502, { "Content-Type": "text/html" }).end("<html>");
    });
    const { failure } = await collect(gateway.url, { retry: { limit: 0 } });
    assert.equal(String(failure), "RefusedError: 502: Bad Gateway");
  });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { ConnectionLostError, DatastreamError } from "datastream-client";
import { collect } from "./collect.js";
import { Gateway } from "./gateway.js";

/** Records what is written by `console.warn` while a test runs. */
function warnings(context: TestContext): string[] {
  const lines: string[] = [];
  context.mock.method(console, "warn", (line: string) => lines.push(line));
  return lines;
}

describe("a reconnect", { timeout: 20_000 }, () => {
  for (const way of ["stream_key", "key", "token"] as const) {
    test(`is a warning that does not show the ${way}`, async (context) => {
      const lines = warnings(context);
      await using gateway = await Gateway.start((exchange) => {
        // As a proxy does that repeats what it was asked for.
        const told = `${exchange.request.url ?? ""} ${exchange.request.headers.authorization ?? ""}`;
        if (exchange.n < 2) exchange.refuse(409, "in_use", told);
        else exchange.accept().close(1000, "done");
      });
      const [query, options] = way === "stream_key" ? ["?stream_key=SECRET", {}] : ["", { [way]: () => "SECRET" }];
      const { failure } = await collect(`ws://${gateway.host}/stream${query}`, { ...options, onReconnect: undefined } as object);
      assert.deepEqual([failure, lines.length], [undefined, 2]);
      for (const line of lines) {
        assert.ok(line.startsWith(`http://${gateway.host}/events: 409 in_use: /events?`), line);
        assert.ok(line.endsWith("; next attempt in 0.0 s") && line.includes("***") && !line.includes("SECRET"), line);
      }
    });
  }

  test("is told to a function of the user instead", async (context) => {
    const lines = warnings(context);
    await using gateway = await Gateway.start((exchange) => {
      if (exchange.n === 0) exchange.refuse(503, "busy", "later");
      else exchange.accept().close(1000, "done");
    });
    const { reconnects } = await collect(gateway.url);
    assert.deepEqual([reconnects.length, lines], [1, []]);
  });
});

describe("a server that is no gateway", { timeout: 20_000 }, () => {
  const failureOf = async (context: TestContext, scheme: "ws" | "wss", answer: string): Promise<unknown> => {
    const server = createServer((socket) => {
      socket.on("error", () => undefined).once("data", () => socket.end(answer));
    });
    context.after(() => server.close());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    return (await collect(`${scheme}://127.0.0.1:${port}?stream_key=0`, { retry: { limit: 0 } })).failure;
  };

  test("and does not speak TLS is told with what to do", async (context) => {
    const failure = await failureOf(context, "wss", "HTTP/1.1 400 Bad Request\r\n\r\n");
    assert.ok(failure instanceof ConnectionLostError);
    const expected = "cannot connect: the server may not speak TLS: use ws:// then (ERR_SSL_WRONG_VERSION_NUMBER)";
    assert.equal(failure.message, expected);
  });

  for (const [status, retryable] of [["404 Nowhere", false], ["502 Bad", true], ["200 OK", false]] as const) {
    test(`and answers ${status} in HTTP/1.0 has what its status says`, async (context) => {
      const failure = await failureOf(context, "ws", `HTTP/1.0 ${status}\r\nContent-Length: 3\r\n\r\nabc`);
      assert.ok(failure instanceof DatastreamError);
      assert.deepEqual([failure.message.slice(0, 3), failure.retryable], [status.slice(0, 3), retryable]);
    });
  }
});

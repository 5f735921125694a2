import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { numbers } from "./collect.js";
import { datapoint, Gateway } from "./gateway.js";

const PROGRAM = fileURLToPath(new URL("../examples/follow.js", import.meta.url));

async function follow(...args: string[]): Promise<{ code: unknown; out: string; err: string }> {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  const [out, err, [code]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "close") as Promise<unknown[]>]);
  return { code, out, err };
}

function lines(first: number, last: number): string {
  return numbers(first, last).map((seq) => `${datapoint(seq)}\n`).join("");
}

describe("follow", { timeout: 20_000 }, () => {
  test("prints events as they came, and ends with the stream", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      const first = Number(exchange.query.get("seq_start"));
      await exchange.accept().events(first, first + 2);
      if (exchange.n === 0) exchange.close(1012, "moved");
      else exchange.close(1000, "done");
    });
    const { code, out, err } = await follow(gateway.url, "--seq-start", "5", "--delay-ms", "1");
    assert.deepEqual([code, out], [0, lines(5, 10)]);
    assert.match(err, /^reconnecting in [0-9]+ ms: closed by the server: 1012 moved\n$/);
  });

  test("ends after the count", async () => {
    await using gateway = await Gateway.start((exchange) => exchange.accept().events(1, 9));
    assert.deepEqual(await follow(gateway.url, "--count", "3"), { code: 0, out: lines(1, 3), err: "" });
  });

  test("says why it fails", async () => {
    await using gateway = await Gateway.start((exchange) => {
      exchange.refuse(410, "gone", "the earliest that is left is 7");
    });
    const expected = { code: 1, out: "", err: "410 gone: the earliest that is left is 7\n" };
    assert.deepEqual(await follow(gateway.url), expected);
  });

  test("tells how it is used", async () => {
    const { code, err } = await follow();
    assert.equal(code, 2);
    assert.match(err, /^give one URL\nusage: follow URL/);
  });
});

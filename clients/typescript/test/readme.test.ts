import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { datapoint, Gateway } from "./gateway.js";
import { README_EXAMPLES } from "./readme.js";

/** Programs find the package by its own name if they are in its folder. */
const BUILD = fileURLToPath(new URL("..", import.meta.url));
/** The compiler, with options as strict as they are. */
const TSC = [
  fileURLToPath(new URL("../../node_modules/typescript/bin/tsc", import.meta.url)),
  ...["--ignoreConfig", "--strict", "--module", "nodenext", "--target", "es2022", "--types", "node"],
];

/** The message of a gateway, of which the README shows the beginning. */
const NO_SUCH_KEY =
  "no subscription has this stream key: it may be an old one, take it from the subscription's Secret, or from what datastream dev prints";

/** Last lines that the examples print, in their order. */
const OUTPUTS = [
  ["AC1 p 5"],
  ["12345678901234567000", "12345678901234567890n", "12345678901234567890"],
  [datapoint(5, "5")],
  ["everything stored has come"],
  [`401 unauthorized ${NO_SUCH_KEY}`],
  ["5"],
];

describe("examples of README.md", { timeout: 30_000 }, () => {
  for (const [n, example] of README_EXAMPLES.js.entries()) {
    test(`example ${n + 1} runs`, async (context) => {
      await using gateway = await Gateway.start(async (exchange) => {
        if (exchange.query.get("stream_key") === "WRONG") {
          exchange.refuse(401, "unauthorized", NO_SUCH_KEY);
          return;
        }
        exchange.accept();
        const seqStart = exchange.query.get("seq_start") ?? "1";
        if (exchange.query.has("on_gap")) await exchange.marker("gap", "3");
        for (let seq = Math.max(Number(seqStart), 1); seq <= 5; seq += 1) await exchange.line(datapoint(seq, String(seq)));
        if (exchange.query.has("on_gap")) await exchange.marker("live", "6");
        exchange.close(1000, "done");
      });
      const folder = await mkdtemp(join(BUILD, "readme-"));
      context.after(() => rm(folder, { recursive: true }));
      await writeFile(join(folder, "example.mjs"), example.replaceAll("wss://streams.example.com", `ws://${gateway.host}`));
      const { stdout, stderr } = await promisify(execFile)(process.execPath, ["example.mjs"], { cwd: folder });
      const expected = OUTPUTS[n] ?? [];
      const printed = (stdout || stderr).trimEnd().split("\n");
      assert.deepEqual(printed.slice(-expected.length), expected);
      if (example.includes('readFile("position"')) assert.equal(readFileSync(join(folder, "position"), "utf8"), "6");
    });
  }

  for (const [n, example] of README_EXAMPLES.ts.entries()) {
    test(`example ${n + 1} of TypeScript compiles and runs`, async (context) => {
      const folder = await mkdtemp(join(BUILD, "readme-"));
      context.after(() => rm(folder, { recursive: true }));
      await writeFile(join(folder, "example.mts"), example);
      const run = promisify(execFile);
      await run(process.execPath, [...TSC, "example.mts"], { cwd: folder });
      const { stdout } = await run(process.execPath, ["example.mjs"], { cwd: folder });
      assert.equal(stdout, "44.76 degrees north\n");
    });
  }
});

import assert from "node:assert/strict";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { describe, test } from "node:test";
import { numbers } from "./collect.js";
import { Dev, folderOf, PROGRAM } from "./dev.js";
import { datapoint, Gateway } from "./gateway.js";
import { README_EXAMPLES } from "./readme.js";

const DIST = new URL("../../dist/", import.meta.url);
const CHROMIUM = process.env["CHROMIUM"] ?? "chromium";
const SWITCHES = [
  ..."headless no-sandbox disable-gpu disable-quic no-first-run".split(" "),
  ..."disable-background-networking disable-component-update disable-sync".split(" "),
].map((name) => `--${name}`);

/** A page that reads a stream and posts what it brought. */
function pageOf(url: string, key: string): string {
  return `<!doctype html>
<script type="module">
  import { connect } from "/datastream-client/dist/index.js";
  const found = { seqs: [], reconnects: [], markers: [] };
  try {
    const stream = connect("${url}", {
      key: "${key}",
      seqStart: "1",
      onMarker: ({ control }) => {
        found.markers.push(control);
        void fetch("/live");
      },
      onReconnect: ({ failure }) => found.reconnects.push(failure.name),
    });
    for await (const event of stream) found.seqs.push(event.seq);
  } catch (error) {
    found.failure = error.message;
  }
  await fetch("/found", { method: "POST", body: JSON.stringify(found) });
</script>`;
}

/** The example of README.md, which posts what it shows when its stream has ended. */
const EXAMPLE = (README_EXAMPLES.html[0] ?? "").replace(
  /<\/script>\n$/,
  'await fetch("/found", { method: "POST", body: document.getElementById("events").textContent });\n</script>',
);

function isInstalled(): boolean {
  try {
    execFileSync(CHROMIUM, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** Opens a page in a new browser. Returns what it posts. `onLive` is called when it asks for /live. */
async function inBrowser(gateway: Gateway, page: string, onLive: () => void = () => undefined): Promise<string> {
  const found = new Promise<string>((resolve, reject) => {
    const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
      const [, module] = /^\/datastream-client\/dist\/([a-z]+\.js)$/.exec(request.url ?? "") ?? [];
      if (request.url === "/found") {
        resolve(await text(request));
        response.end();
      } else if (request.url === "/page") {
        response.setHeader("Content-Type", "text/html").end(page);
      } else if (module !== undefined) {
        response.setHeader("Content-Type", "text/javascript").end(await readFile(new URL(module, DIST)));
      } else {
        if (request.url === "/live") onLive();
        response.writeHead(404).end();
      }
    };
    gateway.pages = (request, response) => void answer(request, response).catch(reject);
  });
  const profile = await mkdtemp(join(tmpdir(), "datastream-browser-"));
  let browser: ChildProcess | undefined;
  try {
    const place = [`--user-data-dir=${profile}`, `http://${gateway.host}/page`];
    // A group of its own, to which all its processes belong.
    browser = spawn(CHROMIUM, [...SWITCHES, ...place], { stdio: "ignore", detached: true });
    const ended = once(browser, "exit").then(() => {
      throw new Error(`${CHROMIUM} ended before its page posted anything`);
    });
    return await Promise.race([found, ended]);
  } finally {
    if (browser?.pid !== undefined && browser.exitCode === null) {
      const exit = once(browser, "exit");
      process.kill(-browser.pid, "SIGKILL");
      await exit;
    }
    await rm(profile, { recursive: true, maxRetries: 5 });
  }
}

describe("in a browser", { skip: !isInstalled() && `there is no ${CHROMIUM}`, timeout: 60_000 }, () => {
  test("a stream goes on over a lost connection, a close and a refusal", async () => {
    let onLive: () => void = () => undefined;
    const isLive = new Promise<void>((resolve) => (onLive = resolve));
    await using gateway = await Gateway.start(async (exchange) => {
      if (exchange.n === 2) {
        exchange.refuse(409, "in_use", "somebody else");
        return;
      }
      const first = Number(exchange.query.get("seq_start"));
      exchange.accept();
      await exchange.events(first, first + 2);
      if (exchange.n === 0) {
        await exchange.marker("live", "4");
        // What is not read yet is lost with the connection.
        await isLive;
        exchange.cut('{"seq":"4","meta');
      } else {
        exchange.close(exchange.n === 1 ? 1001 : 1000, "why");
      }
    });
    const found: unknown = JSON.parse(await inBrowser(gateway, pageOf(`ws://${gateway.host}`, "KEY"), onLive));
    assert.deepEqual(found, {
      seqs: numbers(1, 9),
      reconnects: ["ConnectionLostError", "ClosedError", "RefusedError"],
      markers: ["live"],
    });
    assert.equal(gateway.exchanges[0]?.request.headers.authorization, "Bearer KEY");
  });

  test("the reason of a refusal is known", async () => {
    await using gateway = await Gateway.start((exchange) => {
      exchange.refuse(403, "suspended", "not now");
    });
    const found = JSON.parse(await inBrowser(gateway, pageOf(`ws://${gateway.host}`, "KEY"))) as { failure: string };
    assert.equal(found.failure, "403 suspended: not now");
  });

  test("the example of README.md runs", async () => {
    await using gateway = await Gateway.start(async (exchange) => {
      await exchange.accept().events(1, 2);
      exchange.close(1000, "done");
    });
    assert.equal(await inBrowser(gateway, EXAMPLE), "1 AC1 1\n2 AC1 1\n");
  });

  test("a page of another origin reads the stream of a gateway", { skip: PROGRAM === "" }, async (context) => {
    const dev = await Dev.start(await folderOf(context));
    context.after(() => dev.stop());
    await dev.publish([1, 2, 3].map((n) => datapoint(n)));
    await using pages = await Gateway.start(() => undefined);
    const key = new URL(dev.url).searchParams.get("stream_key") ?? "";
    const page = pageOf(dev.url.replace(/stream_key=.*/, "seq_end=3"), key);
    const found = JSON.parse(await inBrowser(pages, page)) as { seqs: string[] };
    assert.deepEqual(found.seqs, numbers(1, 3));
  });
});

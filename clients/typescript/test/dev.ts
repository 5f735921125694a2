// The real program, `datastream dev`.

import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";

/** The program that the environment names; empty if there is none, and no test against it. */
export const PROGRAM = process.env["DATASTREAM_BIN"] ?? "";

const MANIFEST = `
apiVersion: datastream.dev/v1alpha1
kind: DatastreamSubscription
metadata:
  name: all
spec:
  eventTypes: [connectivity, datapoint, datapointack, location, registration]
`;

/** Makes a folder for `datastream dev` that lives as long as the test. */
export async function folderOf(context: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "datastream-client-"));
  context.after(() => rm(folder, { recursive: true }));
  await mkdir(join(folder, "manifests"));
  await writeFile(join(folder, "manifests", "all.yaml"), MANIFEST);
  return folder;
}

/** A running `datastream dev`, of which the events and the key outlive a restart. */
export class Dev {
  private constructor(
    private readonly process: ChildProcess,
    private readonly ended: Promise<unknown>,
    /** URL of the stream. */
    readonly url: string,
    private readonly admin: string,
  ) {}

  static async start(folder: string, listen = "127.0.0.1:0"): Promise<Dev> {
    const manifests = join(folder, "manifests");
    const options = ["--manifests", manifests, "--journal", join(folder, "journal"), "--listen", listen, "--admin", "127.0.0.1:0"];
    const process = spawn(PROGRAM, ["dev", ...options], { stdio: ["ignore", "pipe", "ignore"] });
    const ended = new Promise((resolve) => process.once("close", resolve));
    const failed = new Promise<never>((_, reject) => {
      process.once("error", (cause) => {
        reject(new Error(`DATASTREAM_BIN=${PROGRAM} cannot be run: ${cause.message}`));
      });
    });
    const [url, admin] = await Promise.race([failed, Dev.#addresses(process)]);
    return new Dev(process, ended, url, admin);
  }

  /** The addresses that it prints. */
  static async #addresses(process: ChildProcess): Promise<[url: string, admin: string]> {
    assert.ok(process.stdout);
    let [url, admin] = ["", ""];
    for await (const line of createInterface(process.stdout)) {
      admin ||= /POST (http:\S+)/.exec(line)?.[1] ?? "";
      url ||= /ws:\S+/.exec(line)?.[0] ?? "";
      if (url !== "" && admin !== "") {
        process.stdout.resume();
        return [url, admin];
      }
    }
    throw new Error(`DATASTREAM_BIN=${PROGRAM} dev ended before it printed the URL of a stream`);
  }

  async publish(events: string[]): Promise<void> {
    const response = await fetch(this.admin, { method: "POST", body: events.join("\n") });
    assert.ok(response.ok, await response.text());
  }

  async stop(): Promise<void> {
    this.process.kill("SIGTERM");
    await this.ended;
  }
}

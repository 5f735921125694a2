// follow URL [--delay-ms N] [--count N] [--seq-start N]: prints the JSON of each event on a line of its own, as it came, and then
// handles it, which takes the delay. Ends after the count, or with the stream. Gaps and reconnects are told on stderr.

import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { connect, DatastreamError } from "datastream-client";

const USAGE = "usage: follow URL [--delay-ms N] [--count N] [--seq-start N]";

interface Arguments {
  readonly url: string;
  readonly delayMs: number;
  readonly count: number;
  readonly seqStart: string | undefined;
}

function readArguments(): Arguments {
  const number = { type: "string" } as const;
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { "delay-ms": number, count: number, "seq-start": number },
  });
  const [url, ...others] = positionals;
  if (url === undefined || others.length > 0) throw new TypeError("give one URL");
  const delayMs = Number(values["delay-ms"] ?? 0);
  const count = Number(values.count ?? Infinity);
  if (!(delayMs >= 0 && count > 0)) throw new TypeError("--delay-ms and --count take a number");
  return { url, delayMs, count, seqStart: values["seq-start"] };
}

function print(line: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(`${line}\n`, (error) => {
      if (error) reject(error);
      else resolve();
    });
  });
}

async function follow({ url, delayMs, count, seqStart }: Arguments): Promise<void> {
  const stream = connect(url, {
    ...(seqStart === undefined ? {} : { seqStart }),
    onMarker: ({ control, seqStart }) => {
      if (control === "gap") console.error(`gap: events before ${seqStart} have expired`);
    },
    onReconnect: ({ failure, delayMs }) => {
      console.error(`reconnecting in ${Math.round(delayMs)} ms: ${failure.message}`);
    },
  });
  let left = count;
  for await (const event of stream) {
    await print(event.json);
    await sleep(delayMs);
    left -= 1;
    if (left === 0) break;
  }
}

try {
  await follow(readArguments());
} catch (error) {
  if (error instanceof DatastreamError) {
    console.error(error.message);
    process.exitCode = 1;
  } else if (error instanceof TypeError) {
    console.error(`${error.message}\n${USAGE}`);
    process.exitCode = 2;
  } else {
    throw error;
  }
}

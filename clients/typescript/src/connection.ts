import type { StreamRequest } from "./endpoint.js";
import { ConnectionLostError, DatastreamError, ProtocolError } from "./errors.js";
import { parseEvent, type DatastreamEvent } from "./event.js";
import { LineReader } from "./lines.js";
import { refusalOf } from "./refusal.js";
import type { SilenceLimit } from "./silence.js";
import { unlessAborted, within } from "./wait.js";

/** A connection may take this long to be established. */
const CONNECT_TIMEOUT_MS = 10_000;

/** A read that takes less found what had come before: the time of its arrival is unknown. */
const WAITED_MS = 1;

/** Codes of OpenSSL for an answer that is no TLS. */
const NO_TLS: ReadonlySet<string | undefined> = new Set(["ERR_SSL_WRONG_VERSION_NUMBER", "ERR_SSL_PACKET_LENGTH_TOO_LONG"]);

const CONTENT_TYPE = "application/x-ndjson";

/** Message from the server. */
export type Message =
  | { readonly kind: "event"; readonly event: DatastreamEvent }
  | { readonly kind: "heartbeat" }
  | { readonly kind: "live" | "gap"; readonly seqStart: string }
  | { readonly kind: "close"; readonly code: number; readonly reason: string; readonly seqStart: string | undefined };

/** What a control line may have. */
interface Control {
  readonly control?: unknown;
  readonly seq_start?: unknown;
  readonly code?: unknown;
  readonly reason?: unknown;
}

/** One connection, from the request to the end of its body. */
export class Connection {
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #lines: LineReader;
  readonly #silence: SilenceLimit;
  readonly #cancel: () => void;
  #arrivedMs: number | undefined;

  private constructor(body: ReadableStream<Uint8Array>, silence: SilenceLimit, cancel: () => void) {
    this.#reader = body.getReader();
    this.#lines = new LineReader(() => this.#read());
    this.#silence = silence;
    this.#cancel = cancel;
  }

  /**
   * Connects. `signal` ends the attempt, or the connection.
   *
   * @throws {DatastreamError} The server gives no stream, or does not answer.
   */
  static async open(
    request: Promise<StreamRequest>,
    fetch: typeof globalThis.fetch,
    silence: SilenceLimit,
    signal: AbortSignal,
  ): Promise<Connection> {
    const abort = new AbortController();
    const cancel = (): void => {
      signal.removeEventListener("abort", cancel);
      abort.abort();
    };
    signal.addEventListener("abort", cancel);
    try {
      const opening = unlessAborted(signal, openBody(request, fetch, abort.signal));
      const body = await within(CONNECT_TIMEOUT_MS, opening, () => {
        return new ConnectionLostError(`no answer within ${CONNECT_TIMEOUT_MS / 1000} s`);
      });
      silence.restart();
      return new Connection(body, silence, cancel);
    } catch (error) {
      cancel();
      throw error instanceof DatastreamError ? error : lost("cannot connect", error);
    }
  }

  /**
   * Returns the next message. Reads no further than that, so that a server waits for a slow reader.
   *
   * @throws {DatastreamError} The connection was lost, or what came cannot be read.
   */
  async next(): Promise<Message> {
    for (;;) {
      const line = await this.#lines.next();
      if (line === undefined) throw new ConnectionLostError("the connection ended without a reason");
      const message = this.#understand(line);
      if (message !== undefined) return message;
    }
  }

  /** Gives up the connection. */
  cancel(): void {
    this.#cancel();
  }

  async #read(): Promise<ReadableStreamReadResult<Uint8Array>> {
    const limit = this.#silence.ms;
    const asked = performance.now();
    try {
      return await within(limit, this.#reader.read(), () => {
        this.#silence.gaveUp();
        return new ConnectionLostError(`nothing came for ${limit / 1000} s`);
      });
    } catch (error) {
      throw error instanceof DatastreamError ? error : lost("the connection broke", error);
    } finally {
      const now = performance.now();
      this.#arrivedMs = now - asked < WAITED_MS ? undefined : now;
    }
  }

  /** Returns the message that a line is, or `undefined` for a control line that came after this library. */
  #understand(line: string): Message | undefined {
    try {
      if (line === "") {
        this.#silence.heartbeat(this.#arrivedMs);
        return { kind: "heartbeat" };
      }
      // The first member of an event is seq.
      if (line.startsWith('{"control"')) return controlOf(JSON.parse(line) as Control);
      return { kind: "event", event: parseEvent(line) };
    } catch (cause) {
      throw new ProtocolError(`not a line of a stream: ${line.slice(0, 200)}`, { cause });
    }
  }
}

async function openBody(
  request: Promise<StreamRequest>,
  fetch: typeof globalThis.fetch,
  signal: AbortSignal,
): Promise<ReadableStream<Uint8Array>> {
  const { url, headers } = await request;
  const response = await fetch(url, { headers, signal, cache: "no-store" });
  if (!response.ok) throw await refusalOf(response);
  const contentType = response.headers.get("Content-Type") ?? "nothing";
  if (response.body === null || !contentType.startsWith(CONTENT_TYPE)) {
    throw new ProtocolError(`${response.status} with ${contentType} instead of ${CONTENT_TYPE}: no gateway answers there`);
  }
  return response.body;
}

function controlOf({ control, seq_start: seqStart, code, reason }: Control): Message | undefined {
  if ((control === "live" || control === "gap") && typeof seqStart === "string") return { kind: control, seqStart };
  if (control === "close" && typeof code === "number") {
    return { kind: control, code, reason: String(reason), seqStart: typeof seqStart === "string" ? seqStart : undefined };
  }
  return undefined;
}

/** The error of `fetch`, whose message says nothing where its cause says all. */
function lost(what: string, error: unknown): ConnectionLostError {
  const { message, cause } = error as { message: string; cause?: { message?: string; code?: string } };
  if (NO_TLS.has(cause?.code)) {
    // The message of OpenSSL names a line of its source.
    return new ConnectionLostError(`${what}: the server may not speak TLS: use ws:// then (${cause?.code ?? ""})`, { cause: error });
  }
  // Of several addresses tried in vain, there is a code and no message.
  const reason = [cause?.message, cause?.code].find((text) => text !== undefined && text !== "") ?? message;
  return new ConnectionLostError(`${what}: ${reason}`, { cause: error });
}

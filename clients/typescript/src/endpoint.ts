import { CredentialError } from "./errors.js";
import type { Secret, StreamOptions } from "./options.js";
import { isDecimal } from "./seq.js";

const PROTOCOLS: ReadonlyMap<string, string> = new Map([
  ["ws:", "http:"],
  ["wss:", "https:"],
  ["http:", "http:"],
  ["https:", "https:"],
]);

/**
 * Parameters that a stream which goes on over lost connections cannot have, and what to do instead: the server counts anew on each
 * of them, or writes events in another way.
 */
const REFUSED: ReadonlyMap<string, string> = new Map([
  ["limit", "break out of the loop after so many events"],
  ["wait", "a stream waits for events"],
  ["format", "this library reads lines of JSON"],
  ["ack", "start with seqStart"],
]);

/** A request for a stream. */
export interface StreamRequest {
  readonly url: string;
  readonly headers: Headers;
}

/** Where a stream is, and what opens it. No error shows the key. */
export class Endpoint {
  readonly #url: URL;
  readonly #secretName: "key" | "token";
  readonly #secret: Secret | undefined;
  /** The key or token of the last request. */
  #sentSecret: string | undefined;

  /**
   * Reads the URL of a stream, as all programs of datastream print it, or that of its `/events`.
   *
   * @throws {TypeError} The URL or an option cannot be used, or they contradict each other.
   */
  constructor(url: string | URL, options: StreamOptions) {
    this.#url = eventsUrl(url);
    this.#secretName = options.token === undefined ? "key" : "token";
    this.#secret = secretOf(this.#url.searchParams, options);
    setParameters(this.#url.searchParams, options);
    checkParameters(this.#url.searchParams);
    // Fails now and not at each attempt.
    if (typeof this.#secret === "string") authorization(this.#secretName, this.#secret);
    this.#sentSecret = this.#url.searchParams.get("stream_key") ?? undefined;
  }

  /** The URL without its query, which may have the key. */
  get address(): string {
    const { origin, pathname } = this.#url;
    return origin + pathname;
  }

  /** Returns a text, in which a server may have repeated the request, without the key or token. */
  redact(text: string): string {
    return this.#sentSecret === undefined ? text : text.replaceAll(this.#sentSecret, "***");
  }

  /** The number that the stream starts with, if that is known before it is open. */
  get seqStart(): string | undefined {
    return this.#url.searchParams.get("seq_start") ?? undefined;
  }

  /**
   * Makes the request for the stream from `seqStart` on; unset, from where the URL and the options say.
   *
   * @throws {CredentialError} The callback for the key or token failed.
   */
  async request(seqStart: string | undefined): Promise<StreamRequest> {
    const url = new URL(this.#url);
    if (seqStart !== undefined) {
      url.searchParams.delete("time_start");
      url.searchParams.set("seq_start", seqStart);
    }
    const headers = this.#secret === undefined ? new Headers() : await this.#credentials(this.#secret);
    headers.set("Accept", "application/x-ndjson");
    // Node drops what it has yet to decompress when a connection breaks: one that breaks often would bring nothing. Browsers leave
    // this header out, and choose themselves.
    headers.set("Accept-Encoding", "identity");
    return { url: url.href, headers };
  }

  async #credentials(secret: Secret): Promise<Headers> {
    let found: unknown;
    try {
      found = typeof secret === "string" ? secret : await secret();
    } catch (cause) {
      // Its message may show the secret.
      throw noCredential(cause instanceof Error ? cause.name : typeof cause, cause);
    }
    try {
      const headers = authorization(this.#secretName, found);
      this.#sentSecret = String(found);
      return headers;
    } catch (cause) {
      throw noCredential((cause as Error).message, cause);
    }
  }
}

function eventsUrl(given: string | URL): URL {
  const text = String(given);
  const [, scheme = "", rest = ""] = /^([a-z]+:)(\/\/.*)$/is.exec(text.trim()) ?? [];
  const protocol = PROTOCOLS.get(scheme.toLowerCase());
  const url = protocol === undefined ? undefined : parsed(protocol + rest);
  if (url === undefined) throw new TypeError("the URL of a stream is like wss://HOST/stream?stream_key=KEY");
  if (url.username !== "" || url.password !== "") throw new TypeError("the URL of a stream has no user and no password");
  url.hash = "";
  if (url.pathname === "/") url.pathname = "/events";
  url.pathname = url.pathname.replace(/\/stream$/, "/events");
  for (const [name, value] of [...url.searchParams]) {
    if (value === "") url.searchParams.delete(name);
  }
  return url;
}

function parsed(url: string): URL | undefined {
  try {
    return new URL(url);
  } catch {
    // The error shows the URL, and with it the key.
    return undefined;
  }
}

function secretOf(query: URLSearchParams, { key, token }: StreamOptions): Secret | undefined {
  if ([key, token, query.get("stream_key") ?? undefined].filter((secret) => secret !== undefined).length > 1) {
    throw new TypeError("more than one stream key or token: give one, in the URL, as key or as token");
  }
  return key ?? token;
}

function setParameters(query: URLSearchParams, options: StreamOptions): void {
  const { subscription, seqStart, seqEnd, timeStart, onGap } = options;
  if (seqStart !== undefined && timeStart !== undefined) throw new TypeError("give seqStart or timeStart, not both");
  if (seqStart !== undefined || timeStart !== undefined) {
    query.delete("seq_start");
    query.delete("time_start");
  }
  const time = timeStart instanceof Date ? timeStart.toISOString() : timeStart;
  const parameters = { subscription, seq_start: seqStart, seq_end: seqEnd, time_start: time, on_gap: onGap, markers: 1 };
  for (const [name, value] of Object.entries(parameters)) {
    if (value !== undefined) query.set(name, String(value));
  }
}

function checkParameters(query: URLSearchParams): void {
  for (const name of ["seq_start", "seq_end"]) {
    const value = query.get(name);
    if (value !== null && !isDecimal(value)) {
      throw new TypeError(`${name} in the URL is a sequence number, which has the digits 0 to 9 only: ${JSON.stringify(value)}`);
    }
  }
  // It would begin to count when the stream resumes.
  if (query.has("seq_end") && !query.has("seq_start") && !query.has("time_start")) {
    throw new TypeError("an end counts only beside a start: give seqStart or timeStart, too");
  }
  for (const [name, instead] of REFUSED) {
    if (query.has(name)) throw new TypeError(`leave ${name} out of the URL: ${instead}`);
  }
}

function noCredential(reason: string, cause: unknown): CredentialError {
  return new CredentialError(`no key or token could be had to connect with: ${reason}`, { cause });
}

function authorization(name: string, secret: unknown): Headers {
  const fault = faultOf(secret);
  if (fault !== undefined) throw new TypeError(`the ${name} ${fault}`);
  return new Headers({ Authorization: `Bearer ${String(secret)}` });
}

/** Returns why a key or token cannot stand in a header, `undefined` if it can. */
function faultOf(secret: unknown): string | undefined {
  if (typeof secret !== "string") return `is no string, but of type ${typeof secret}`;
  if (secret === "") return "is empty";
  if (/[\r\n]$/.test(secret)) return "ends with a line break, as from a file: use trim()";
  // `Headers` would trim it, which hides the fault until another library is used.
  if (!/^[\x21-\x7e]+$/.test(secret)) return "has spaces or other characters that no header may have";
  return undefined;
}

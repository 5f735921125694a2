// One event stream: opens it, answers its heartbeats, counts, and comes back to where it was when the connection is lost.
import { after, readFrame } from "./frame.js";

const FIRST_DELAY = 500;
const LONGEST_DELAY = 30_000;

/** From what a person typed: a URL of any kind, or a bare key for the gateway that serves this page. */
function streamUrl(target, start, end) {
  const here = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/stream`;
  const url = new URL(isKey(target) ? `${here}?stream_key=${target}` : target.replace(/^http/, "ws"), here);
  if (start) url.searchParams.set("seq_start", start);
  if (start && end) url.searchParams.set("seq_end", end);
  return url;
}

function isKey(text) {
  return /^[0-9a-f]{32}$/.test(text);
}

export class Stream {
  /** What is under way: anything that belongs to an earlier attempt is out of date. */
  #attempt;
  #timer;
  #delay = FIRST_DELAY;

  /** `spec` is what was asked for: {target, start, end}. */
  constructor(spec, onEvent, onChange) {
    const url = streamUrl(spec.target, spec.start, spec.end);
    const key = url.searchParams.get("stream_key") ?? "";
    // Out of the URL, which proxies log. What is no key stays there, for the gateway to say so.
    if (isKey(key)) {
      this.key = key;
      url.searchParams.delete("stream_key");
    }
    Object.assign(this, { spec, url, onEvent, onChange, events: 0, heartbeats: 0, seq: "", state: "closed", why: "", note: "" });
    // Enough to tell streams apart; the page may be shared on a screen.
    this.label = key ? `${key.slice(0, 4)}…${key.slice(-4)}` : "no key";
    this.open();
  }

  /** Whether it is open, or tries to be. */
  get active() {
    return this.#attempt !== undefined;
  }

  /** Opens the stream where it was; one that was read to its end from its beginning. */
  open() {
    this.close();
    if (this.finished) this.next = undefined;
    Object.assign(this, { finished: false, note: "" });
    this.#delay = FIRST_DELAY;
    this.#connect();
  }

  close() {
    clearTimeout(this.#timer);
    this.#attempt?.socket.close(1000);
    this.#attempt = undefined;
    if (this.state !== "closed") this.change("done", "closed here");
  }

  change(state, why) {
    Object.assign(this, { state, why });
    this.onChange();
  }

  #connect() {
    this.change("connecting", "");
    // A page can set no header of a WebSocket but this one.
    const protocols = this.key ? ["datastream.v1", `datastream.key.${this.key}`] : [];
    const socket = new WebSocket(this.#address(), protocols);
    const attempt = (this.#attempt = { socket });
    let opened = false;
    socket.onopen = () => {
      opened = true;
      this.change("live", "");
      this.#name();
    };
    socket.onmessage = ({ data }) => this.#attempt === attempt && this.#take(data, socket);
    socket.onclose = ({ code, reason }) => {
      if (this.#attempt !== attempt) return;
      const why = reason ? `${reason} (${code})` : `connection lost (${code})`;
      if (!opened) return void this.#explain(attempt);
      this.finished = code === 1000;
      if (!this.finished) return this.#retry(why);
      this.#attempt = undefined;
      this.change("done", why);
    };
  }

  /** Where to connect: with markers, so that it is known where the stream stands before its first event. */
  #address() {
    const url = new URL(this.url);
    url.searchParams.set("markers", "1");
    if (this.next !== undefined) {
      url.searchParams.delete("time_start");
      url.searchParams.set("seq_start", this.next);
      // What has expired meanwhile is said by a marker, and the rest shown.
      url.searchParams.set("on_gap", "earliest");
    }
    return url;
  }

  #take(data, socket) {
    const frame = readFrame(data);
    this.#delay = FIRST_DELAY;
    if (frame.kind === "heartbeat") {
      socket.send("Z");
      this.heartbeats += 1;
    } else if (frame.kind === "event") {
      this.events += 1;
      this.seq = frame.seq ?? "";
      this.next = after(frame.seq) ?? this.next;
      this.onEvent(this, frame.json);
    } else if (frame.kind === "marker") {
      if (after(frame.next)) this.next = frame.next;
      if (frame.control === "gap") this.note = `events before ${frame.next} have expired`;
    } else if (frame.kind === "broken") {
      this.note = `a frame could not be read: ${frame.reason}`;
    }
    this.onChange();
  }

  #retry(why, atLeast = 0) {
    const wait = Math.max(this.#delay * (0.5 + Math.random() / 2), atLeast || 0);
    this.#delay = Math.min(this.#delay * 2, LONGEST_DELAY);
    this.#timer = setTimeout(() => this.#connect(), wait);
    this.change("waiting", `${why}; trying again in ${(wait / 1000).toFixed(1)} s`);
  }

  // Browsers do not say why a handshake failed; a plain request to the same address does.
  async #explain(attempt) {
    let answer;
    let body = {};
    try {
      answer = await this.#ask(this.#address(), AbortSignal.timeout(10_000));
      body = await answer.json();
    } catch {
      // Without an answer, or with one that is none of a gateway's.
    }
    // Closed or opened by hand meanwhile.
    if (this.#attempt !== attempt) return;
    if (!answer) return this.#retry(`nobody answers at ${this.url.host}`);
    const { status } = answer;
    if (answer.ok) {
      const busy = "this stream is open already, here or elsewhere (409)";
      return this.#retry(body.connected ? busy : "the handshake failed");
    }
    const why = body.message ? `${body.message} (${status})` : `refused (${status})`;
    const passes = [408, 409, 425, 429].includes(status) || status >= 500;
    if (passes) return this.#retry(why, Number(answer.headers.get("retry-after")) * 1000);
    // A position that the topic does not have will not come; opened again, the stream starts live.
    if (status === 400) this.next = undefined;
    this.#attempt = undefined;
    this.change("closed", why);
  }

  /** A plain request to the same address. */
  #ask(address, signal) {
    const url = new URL(address);
    url.protocol = url.protocol.replace("ws", "http");
    const headers = this.key ? { Authorization: `Bearer ${this.key}` } : {};
    return fetch(url, { headers, signal });
  }

  // Whose key it is, if the gateway tells this page.
  async #name() {
    if (this.name) return;
    const url = new URL(this.url);
    for (const position of ["seq_start", "seq_end", "time_start"]) url.searchParams.delete(position);
    try {
      const { namespace, name } = await (await this.#ask(url)).json();
      if (namespace && name) this.name = `${namespace}/${name}`;
    } catch {
      // The first and last digits of the key have to do.
    }
    this.onChange();
  }
}

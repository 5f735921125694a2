// One event stream: its socket, its counters and, when it ends, why.
import { readFrame } from "./frame.js";

/** From what a person typed: a URL of any kind, or a bare key for the gateway that serves this page. */
export function streamUrl(target, start, end) {
  const here = `${location.protocol === "https:" ? "wss:" : "ws:"}//${location.host}/stream`;
  const bare = /^[0-9a-f]{32}$/.test(target);
  const url = new URL(bare ? `${here}?stream_key=${target}` : target.replace(/^http/, "ws"), here);
  if (start) url.searchParams.set("seq_start", start);
  if (start && end) url.searchParams.set("seq_end", end);
  return url;
}

export class Stream {
  constructor(url, onEvent, onChange) {
    Object.assign(this, { url, onEvent, onChange, events: 0, heartbeats: 0, seq: "", state: "closed", why: "" });
    const key = url.searchParams.get("stream_key") ?? "";
    // Enough to tell streams apart; the page may be shared on a screen.
    this.label = key ? `${key.slice(0, 4)}…${key.slice(-4)}` : "no key";
    this.open();
  }

  open() {
    this.close();
    Object.assign(this, { state: "connecting", why: "" });
    const socket = (this.socket = new WebSocket(this.url));
    socket.onopen = () => this.change("live", "");
    socket.onmessage = ({ data }) => this.take(data);
    socket.onclose = ({ code, reason }) => {
      if (this.socket !== socket) return;
      this.socket = undefined;
      if (this.state === "connecting") return void this.explain();
      this.change(code === 1000 ? "done" : "closed", reason ? `${reason} (${code})` : `connection lost (${code})`);
    };
    this.onChange();
  }

  close() {
    const socket = this.socket;
    this.socket = undefined;
    socket?.close(1000);
    if (socket) this.change("done", "closed here");
  }

  take(data) {
    const frame = readFrame(data);
    if (frame.kind === "heartbeat") {
      this.socket?.send("Z");
      this.heartbeats += 1;
    } else if (frame.kind === "event") {
      this.events += 1;
      this.seq = frame.event.seq;
      this.onEvent(this, frame.event, frame.body);
    } else if (frame.kind === "broken") {
      this.why = `a frame could not be read: ${frame.reason}`;
    }
    this.onChange();
  }

  // Browsers do not say why a handshake failed; a plain request to the same address does.
  async explain() {
    this.change("closed", "refused");
    const url = new URL(this.url);
    url.protocol = url.protocol.replace("ws", "http");
    try {
      const answer = await fetch(url);
      const { message, connected } = await answer.json();
      const why = connected ? "this stream is open already, here or elsewhere: close it there first (409)" : "the handshake failed: open it again";
      this.change("closed", message ? `${message} (${answer.status})` : why);
    } catch {
      this.change("closed", `nobody answers at ${url.host}`);
    }
  }

  change(state, why) {
    Object.assign(this, { state, why });
    this.onChange();
  }
}

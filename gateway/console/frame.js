// The frames of the stream protocol: `LEN|BODY`, where BODY is `Z` (heartbeat), `X` (keep-alive) or JSON.
import { view } from "./event.js";

const FIRST_SEQ = /^\{"seq":"(\d+)"/;
const LONGEST_CONTROL = 1000;

/**
 * Reads one frame: {kind: "heartbeat" | "keepalive" | "event" | "marker" | "broken", …}. An event has its `seq` and its
 * `json`, a marker says where the stream stands (`control`, `next`), and what is broken has a `reason`.
 */
export function readFrame(text) {
  const bar = text.indexOf("|");
  const json = text.slice(bar + 1);
  if (bar < 1 || Number(text.slice(0, bar)) !== json.length) return { kind: "broken", reason: "length and body differ" };
  if (json === "Z") return { kind: "heartbeat" };
  if (json === "X") return { kind: "keepalive" };
  let parsed;
  try {
    parsed = JSON.parse(json);
  } catch (error) {
    return { kind: "broken", reason: error.message };
  }
  if (parsed === null || typeof parsed !== "object" || Array.isArray(parsed)) return { kind: "broken", reason: "not a JSON object" };
  // The gateway writes it first; other servers may not.
  const seq = FIRST_SEQ.exec(json)?.[1] ?? view(json).seq;
  if (seq === undefined && json.length < LONGEST_CONTROL && parsed.control) {
    return { kind: "marker", control: parsed.control, next: parsed.seq_start };
  }
  return { kind: "event", seq, json };
}

/** The number after `seq`, which may have more digits than a number of JavaScript holds. None if `seq` is no number. */
export function after(seq) {
  return /^\d+$/.test(seq ?? "") ? String(BigInt(seq) + 1n) : undefined;
}

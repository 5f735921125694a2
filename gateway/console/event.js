// The reading of an event, by the rules of the gateway's own (src/event/view.rs): null counts as missing, escaped keys are
// the same keys, the body is the one of the event's type, and numbers are shown as they were sent. Therefore JSON is cut
// into its members' texts here, not parsed into values: a double holds neither 12345678901234567890 nor 1.10.

const BODIES = {
  connectivity: ["connection"],
  datapoint: ["datapoint"],
  datapointack: ["datapoint", "datapointack"],
  location: ["location_event"],
  registration: ["registration_event"],
};
const TIMES = ["event_time", "acked_at", "updated_at", "registered_at", "unregistered_at", "created_at"];
const SPACE = /\s/;
const SYMBOL = /[{}[\],:"\s]/;

/** What is shown of an event, from its JSON text: {seq, type, device, property, displayName, happened, what}. */
export function view(json) {
  const event = new Members(json);
  const metadata = new Members(event.get("metadata"));
  const type = metadata.text("event_type");
  const keys = Object.hasOwn(BODIES, type ?? "") ? BODIES[type] : [];
  const raw = first(keys, (key) => event.get(key));
  const body = raw?.startsWith("{") ? new Members(raw) : undefined;
  return {
    seq: event.text("seq"),
    type,
    device: metadata.text("dsn"),
    property: metadata.text("property_name"),
    displayName: metadata.text("display_name"),
    happened: body && first(TIMES, (name) => body.text(name)),
    what: body ? what(type, body) : json,
  };
}

function what(type, body) {
  const of = (name) => body.text(name) ?? "?";
  const behind = (name, label) => (body.get(name) === undefined ? "" : ` (${label}${of(name)})`);
  switch (type) {
    case "connectivity":
      return of("status");
    case "location":
      return `${of("lat").trim()}, ${of("long").trim()}${behind("provider", "")}`;
    case "registration":
      return body.get("registered") === "true" ? "registered" : "unregistered";
    default: {
      // Of a property, null is a value like others.
      const value = text(body.raw("value")) ?? "?";
      return type === "datapointack" ? value + behind("ack_status", "ack ") : value;
    }
  }
}

function first(names, find) {
  for (const name of names) {
    const found = find(name);
    if (found !== undefined) return found;
  }
}

/** The text of a JSON value: a string without its quotes and escapes, anything else as it stands there. */
function text(raw) {
  if (raw === undefined || raw[0] !== '"') return raw;
  const found = JSON.parse(raw);
  // Half of a surrogate pair is valid JSON, but no text.
  return found.isWellFormed() ? found : raw.slice(1, -1);
}

/** The members of a JSON object as they stand in its text, which is valid JSON; of anything but an object there are none. */
class Members {
  #found = [];

  constructor(json = "") {
    if (json.trimStart()[0] !== "{") return;
    let depth = 0;
    let name;
    let start = 0;
    for (const [from, to] of tokens(json)) {
      const token = json[from];
      if (token === "}" || token === "]") depth -= 1;
      if (name !== undefined && ((token === "," && depth === 1) || depth === 0)) {
        this.#found.push([name, json.slice(start, from).trim()]);
        name = undefined;
      }
      if (token === "{" || token === "[") depth += 1;
      if (depth === 1 && token === ":") start = to;
      if (depth === 1 && token === '"' && name === undefined) name = JSON.parse(json.slice(from, to));
    }
  }

  /** The JSON text of the first member with this name, null included. */
  raw(name) {
    return this.#found.find(([key]) => key === name)?.[1];
  }

  /** The JSON text of the first member with this name that is not null. */
  get(name) {
    return this.#found.find(([key, raw]) => key === name && raw !== "null")?.[1];
  }

  /** A member as text. */
  text(name) {
    return text(this.get(name));
  }
}

/** The places of a JSON text's tokens, as [from, to]: brackets, commas, colons, strings with their quotes, and the rest. */
export function* tokens(json) {
  let at = 0;
  while (at < json.length) {
    const from = at;
    const first = json[at];
    if (SPACE.test(first)) {
      at += 1;
      continue;
    }
    if (first === '"') at = endOfString(json, at);
    else if (SYMBOL.test(first)) at += 1;
    else while (at < json.length && !SYMBOL.test(json[at])) at += 1;
    yield [from, at];
  }
}

function endOfString(json, at) {
  for (let i = at + 1; i < json.length; i += 1) {
    if (json[i] === "\\") i += 1;
    else if (json[i] === '"') return i + 1;
  }
  return json.length;
}

/** Indents JSON text without reading its values: a number of 20 digits stays one. */
export function pretty(json) {
  const out = [];
  let depth = 0;
  let opened = false;
  const line = () => "\n" + "  ".repeat(depth);
  for (const [from, to] of tokens(json)) {
    const token = json.slice(from, to);
    const closes = token === "}" || token === "]";
    if (closes) depth -= 1;
    if (closes ? !opened : opened) out.push(line());
    opened = token === "{" || token === "[";
    if (opened) depth += 1;
    out.push(token === "," ? "," + line() : token === ":" ? ": " : token);
  }
  return out.join("");
}

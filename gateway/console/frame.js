// The frames of the stream protocol: `LEN|BODY`, where BODY is `Z` (heartbeat), `X` (keep-alive) or an event's JSON.

/** Reads one frame: {kind: "heartbeat" | "keepalive" | "event" | "broken", event?, reason?}. */
export function readFrame(text) {
  const bar = text.indexOf("|");
  const body = text.slice(bar + 1);
  if (bar < 1 || Number(text.slice(0, bar)) !== body.length) return { kind: "broken", reason: "length and body differ" };
  if (body === "Z") return { kind: "heartbeat" };
  if (body === "X") return { kind: "keepalive" };
  try {
    return { kind: "event", event: JSON.parse(body), body };
  } catch (error) {
    return { kind: "broken", reason: error.message };
  }
}

/** What a table shows of an event. */
export function summary(event) {
  const metadata = event.metadata ?? {};
  const body = event[metadata.event_type] ?? event.datapoint ?? event.connection ?? event.location_event ?? event.registration_event ?? {};
  const value = body.value ?? body.status ?? (body.lat && `${body.lat.trim()}, ${body.long}`) ?? registered(body) ?? "";
  return {
    type: metadata.event_type ?? "",
    device: metadata.dsn ?? "",
    property: metadata.property_name ?? "",
    value: typeof value === "string" ? value : JSON.stringify(value),
    seq: event.seq ?? "",
  };
}

function registered(body) {
  return body.registered === undefined ? undefined : body.registered ? "registered" : "unregistered";
}

import type { DatastreamEvent } from "./event.js";
import { textOf, type Members } from "./json.js";

/**
 * Describes an event in a few words: the value of a property, a place, `Online`. Numbers are shown as they were sent. An event
 * without the body of its type is described by its JSON.
 */
export function summarize(event: DatastreamEvent): string {
  const { fields } = event;
  const text = (name: string): string => fields.text(name) ?? "?";
  switch (event.eventType) {
    case "connectivity":
      return text("status");
    case "datapoint":
      return valueText(event.rawValue);
    case "datapointack":
      return valueText(event.rawValue) + inBrackets(fields, "ack_status", "ack ");
    case "location":
      return `${text("lat").trim()}, ${text("long").trim()}${inBrackets(fields, "provider", "")}`;
    case "registration":
      return fields.get("registered") === "true" ? "registered" : "unregistered";
    case undefined:
      return event.json;
  }
}

function valueText(raw: string | undefined): string {
  return raw === undefined ? "?" : textOf(raw);
}

function inBrackets(fields: Members, name: string, label: string): string {
  const text = fields.text(name);
  return text === undefined ? "" : ` (${label}${text})`;
}

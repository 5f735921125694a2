import type { ConnectivityBody, DatapointackBody, DatapointBody, LocationBody, Metadata, RegistrationBody } from "./bodies.js";
import { Members, type JsonValue } from "./json.js";
import { after, identityOf, type EventIdentity } from "./seq.js";

/** The body of each event type. */
export interface Bodies {
  readonly connectivity: ConnectivityBody;
  readonly datapoint: DatapointBody;
  readonly datapointack: DatapointackBody;
  readonly location: LocationBody;
  readonly registration: RegistrationBody;
}

/** The type of an event. */
export type EventType = keyof Bodies;

/** What every event has. */
interface EventFields {
  /** The sequence number: decimal digits, more than a double holds. */
  readonly seq: string;
  /** The number to start with to get what follows this event: `seq` + 1. */
  readonly next: string;
  /** The same for one event, whichever gateway sent it and under whichever `seq`. */
  readonly identity: EventIdentity;
  /** The event's JSON as it came. */
  readonly json: string;
  /** The serial number of the device. */
  readonly dsn: string | undefined;
  /** The property, of events about one. */
  readonly propertyName: string | undefined;
  /** Members of `metadata`: `metadata.text("oem_model")`, or `metadata.toObject().oem_model`. */
  readonly metadata: Members<Metadata>;
  /** Members of the body, each with the JSON text that was sent: `fields.raw("value")`. */
  readonly fields: Members;
  /** Time at which the event happened, as its producer wrote it (RFC 3339). */
  readonly happened: string | undefined;
}

/** An event of one type. */
interface TypedEvent<T extends EventType> extends EventFields {
  readonly eventType: T;
  /** The type as the producer wrote it. */
  readonly typeName: T;
  /** The body as `JSON.parse` reads its members: numbers are doubles. */
  readonly body: Bodies[T];
}

/** An event of one type that has no value. */
interface EventWithoutValue<T extends EventType> extends TypedEvent<T> {
  readonly value: undefined;
  readonly rawValue: undefined;
}

/** An event that brings the value of a property. */
interface EventWithValue<T extends EventType> extends TypedEvent<T> {
  /** The value as `JSON.parse` reads it; `undefined` if there is none. Numbers are doubles: see `rawValue`. */
  readonly value: JsonValue | undefined;
  /** The JSON text of the value, with which numbers of any size stay exact; `undefined` if there is none. */
  readonly rawValue: string | undefined;
}

export type ConnectivityEvent = EventWithoutValue<"connectivity">;
export type DatapointEvent = EventWithValue<"datapoint">;
export type DatapointackEvent = EventWithValue<"datapointack">;
export type LocationEvent = EventWithoutValue<"location">;
export type RegistrationEvent = EventWithoutValue<"registration">;

/** An event of a type that this library does not know, or without the body that belongs to its type. */
export interface UntypedEvent extends EventFields {
  readonly eventType: undefined;
  /** The type as the producer wrote it; `undefined` if there is none. */
  readonly typeName: string | undefined;
  readonly body: undefined;
  readonly value: undefined;
  readonly rawValue: undefined;
}

/** An event. `eventType` tells which of the five types it is of, and with it the type of its body. */
export type DatastreamEvent =
  | ConnectivityEvent
  | DatapointEvent
  | DatapointackEvent
  | LocationEvent
  | RegistrationEvent
  | UntypedEvent;

/** The names under which an event has the body of its type. */
const BODY_NAMES: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries({
    connectivity: ["connection"],
    datapoint: ["datapoint"],
    datapointack: ["datapoint", "datapointack"],
    location: ["location_event"],
    registration: ["registration_event"],
  } satisfies Record<EventType, string[]>),
);

/** The fields of a body that say when the event happened, the most specific one first. */
const TIMES = ["event_time", "acked_at", "updated_at", "registered_at", "unregistered_at", "created_at"];

/**
 * Reads an event from its JSON, by the rules that all programs of datastream share: `null` counts as missing (of a property's
 * value, it is one), of several members with one name the first one counts, and the body is the one of the event's type.
 *
 * @throws {SyntaxError} The text is no JSON object with the sequence number of an event.
 */
export function parseEvent(json: string): DatastreamEvent {
  // The members are cut out of text that is known to be JSON.
  JSON.parse(json);
  const members = new Members(json);
  const seq = members.text("seq") ?? "";
  const identity = identityOf(seq);
  if (identity === undefined) throw new SyntaxError(`no event: its seq is ${members.raw("seq") ?? "missing"}`);
  return new ParsedEvent(json, seq, identity, members) as DatastreamEvent;
}

class ParsedEvent {
  readonly eventType: string | undefined;
  readonly typeName: string | undefined;
  readonly dsn: string | undefined;
  readonly propertyName: string | undefined;
  readonly happened: string | undefined;
  readonly rawValue: string | undefined;
  readonly metadata: Members<Metadata>;
  readonly fields: Members;

  constructor(
    readonly json: string,
    readonly seq: string,
    readonly identity: EventIdentity,
    members: Members,
  ) {
    this.metadata = new Members(members.get("metadata"));
    this.typeName = this.metadata.text("event_type");
    this.dsn = this.metadata.text("dsn");
    this.propertyName = this.metadata.text("property_name");
    const names = BODY_NAMES.get(this.typeName ?? "");
    const body = firstOf(names ?? [], (name) => members.get(name));
    this.fields = new Members(body);
    if (body?.startsWith("{")) this.eventType = this.typeName;
    this.happened = firstOf(TIMES, (name) => this.fields.text(name));
    if (this.eventType === "datapoint" || this.eventType === "datapointack") this.rawValue = this.fields.raw("value");
  }

  get next(): string {
    return after(this.seq);
  }

  get body(): Record<string, JsonValue> | undefined {
    return this.eventType === undefined ? undefined : this.fields.toObject();
  }

  get value(): JsonValue | undefined {
    return this.rawValue === undefined ? undefined : (JSON.parse(this.rawValue) as JsonValue);
  }
}

function firstOf(names: readonly string[], find: (name: string) => string | undefined): string | undefined {
  for (const name of names) {
    const found = find(name);
    if (found !== undefined) return found;
  }
  return undefined;
}

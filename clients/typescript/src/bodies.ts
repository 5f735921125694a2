// The fields of the Ayla Datastream Service. Devices and producers choose what is in an event, so every field may be missing or
// `null`.

import type { JsonValue } from "./json.js";

/** Body of `connectivity`: a device went online or offline. */
export interface ConnectionBody {
  /** Time of the change, RFC 3339. */
  readonly event_time?: string | null;
  readonly user_uuid?: string | null;
  readonly status?: "Online" | "Offline" | (string & {}) | null;
}

/** Body of `datapoint`: a property got a value. */
export interface DatapointBody {
  /** Identity of the datapoint; an acknowledgement has that of the datapoint that it acknowledges. */
  readonly id?: string | null;
  /** Time at which the device measured it, RFC 3339, if the device has a clock. */
  readonly created_at_from_device?: string | null;
  /** Time at which the cloud last changed it, RFC 3339. */
  readonly updated_at?: string | null;
  /** Time at which the cloud received it, RFC 3339. */
  readonly created_at?: string | null;
  readonly user_uuid?: string | null;
  /** The device sent back a value that had been sent to it. */
  readonly echo?: boolean | null;
  /** The datapoint is a file that is complete. */
  readonly closed?: boolean | null;
  /** The value as `JSON.parse` reads it: see `rawValue` of the event for the exact one. */
  readonly value?: JsonValue;
  readonly metadata?: Readonly<Record<string, JsonValue>> | null;
}

/** Body of `datapointack`: a device acknowledged a value that was sent to it. */
export interface DatapointackBody extends DatapointBody {
  /** Code that the device chose, 0 for success. */
  readonly ack_message?: number | null;
  /** Status in the manner of HTTP. */
  readonly ack_status?: number | null;
  readonly ack_id?: string | null;
  /** Time of the acknowledgement, RFC 3339. */
  readonly acked_at?: string | null;
}

/** Body of `location`: a device reported where it is. */
export interface LocationBody {
  readonly dsn?: string | null;
  readonly ip?: string | null;
  /** Degrees north. As a string it may start with a space. */
  readonly lat?: string | number | null;
  /** Degrees east. As a string it may start with a space. */
  readonly long?: string | number | null;
  readonly provider?: string | null;
  readonly user_uuid?: string | null;
  /** Time of the location, RFC 3339. */
  readonly created_at?: string | null;
}

/** Body of `registration`: a device was registered to a user, or unregistered. */
export interface RegistrationBody {
  readonly dsn?: string | null;
  readonly user_uuid?: string | null;
  /** The device is registered now. */
  readonly registered?: boolean | null;
  readonly registration_type?: string | null;
  /** Time at which it was registered, RFC 3339, if it was. */
  readonly registered_at?: string | null;
  /** Time at which it was unregistered, RFC 3339, if it was. */
  readonly unregistered_at?: string | null;
}

/** The body of each event type. */
export interface Bodies {
  connectivity: ConnectionBody;
  datapoint: DatapointBody;
  datapointack: DatapointackBody;
  location: LocationBody;
  registration: RegistrationBody;
}

/** The type of an event. */
export type EventType = keyof Bodies;

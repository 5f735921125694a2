// Made of docs/schemas by bodies.sh: do not edit. Producers choose what is in an event, so any field may be missing or `null`, and
// gateways do not check that it has its documented type.

import type { JsonValue } from "./json.js";

/**
 * Body of a `connectivity` event, under `connection`: a device went online or offline.
 */
export interface ConnectivityBody {
  /**
   * Time of the change: RFC 3339, UTC.
   */
  readonly event_time?: string | null;
  /**
   * `Online` or `Offline`.
   */
  readonly status?: string | null;
  /**
   * The user whose device it is.
   */
  readonly user_uuid?: string | null;
}

/**
 * Body of a `datapoint` event, under `datapoint`: a property of a device got a new value.
 */
export interface DatapointBody {
  /**
   * The datapoint is a file that is complete.
   */
  readonly closed?: boolean | null;
  /**
   * Time at which the cloud received it: RFC 3339, UTC.
   */
  readonly created_at?: string | null;
  /**
   * Time at which the device measured it, if the device has a clock: RFC 3339, UTC.
   */
  readonly created_at_from_device?: string | null;
  /**
   * The device sent back a value that had been sent to it.
   */
  readonly echo?: boolean | null;
  /**
   * Identity of the datapoint. An acknowledgement carries the one that it acknowledges.
   */
  readonly id?: string | null;
  /**
   * Metadata of the datapoint itself: an object of the producer's own.
   */
  readonly metadata?: Readonly<Record<string, JsonValue>> | null;
  /**
   * Time at which the cloud last touched it: RFC 3339, UTC.
   */
  readonly updated_at?: string | null;
  /**
   * The user whose device it is.
   */
  readonly user_uuid?: string | null;
  /**
   * The value of the property: any JSON. `null` is a value here, and numbers may have any number of digits.
   */
  readonly value?: JsonValue;
}

/**
 * Body of a `datapointack` event, under `datapoint` and `datapointack` alike: a device acknowledged a value that was sent to it.
 */
export interface DatapointackBody {
  /**
   * Identity of the acknowledgement.
   */
  readonly ack_id?: string | null;
  /**
   * Code that the device chose: 0 for success.
   */
  readonly ack_message?: number | null;
  /**
   * Status, as those of HTTP: 200 for success.
   */
  readonly ack_status?: number | null;
  /**
   * Time of the acknowledgement: RFC 3339, UTC.
   */
  readonly acked_at?: string | null;
  /**
   * The datapoint is a file that is complete.
   */
  readonly closed?: boolean | null;
  /**
   * Time at which the cloud received it: RFC 3339, UTC.
   */
  readonly created_at?: string | null;
  /**
   * Time at which the device measured it, if the device has a clock: RFC 3339, UTC.
   */
  readonly created_at_from_device?: string | null;
  /**
   * The device sent back a value that had been sent to it.
   */
  readonly echo?: boolean | null;
  /**
   * Identity of the datapoint. An acknowledgement carries the one that it acknowledges.
   */
  readonly id?: string | null;
  /**
   * Metadata of the datapoint itself: an object of the producer's own.
   */
  readonly metadata?: Readonly<Record<string, JsonValue>> | null;
  /**
   * Time at which the cloud last touched it: RFC 3339, UTC.
   */
  readonly updated_at?: string | null;
  /**
   * The user whose device it is.
   */
  readonly user_uuid?: string | null;
  /**
   * The value of the property: any JSON. `null` is a value here, and numbers may have any number of digits.
   */
  readonly value?: JsonValue;
}

/**
 * Body of a `location` event, under `location_event`: a device reported where it is.
 */
export interface LocationBody {
  /**
   * Time of the location: RFC 3339, UTC.
   */
  readonly created_at?: string | null;
  /**
   * The serial number of the device.
   */
  readonly dsn?: string | null;
  /**
   * Public IP address of the device.
   */
  readonly ip?: string | null;
  /**
   * Latitude, in degrees north.
   */
  readonly lat?: string | number | null;
  /**
   * Longitude, in degrees east.
   */
  readonly long?: string | number | null;
  /**
   * The way in which it was located.
   */
  readonly provider?: string | null;
  /**
   * The user whose device it is.
   */
  readonly user_uuid?: string | null;
}

/**
 * Body of a `registration` event, under `registration_event`: a device was registered to a user, or unregistered.
 */
export interface RegistrationBody {
  /**
   * The serial number of the device.
   */
  readonly dsn?: string | null;
  /**
   * The device is registered now.
   */
  readonly registered?: boolean | null;
  /**
   * Time at which it was registered, if it was: RFC 3339, UTC.
   */
  readonly registered_at?: string | null;
  /**
   * The way in which the device was paired.
   */
  readonly registration_type?: string | null;
  /**
   * Time at which it was unregistered, if it was: RFC 3339, UTC.
   */
  readonly unregistered_at?: string | null;
  /**
   * The user whose device it is now, if anybody's.
   */
  readonly user_uuid?: string | null;
}

/**
 * Metadata of an event: its type, its device and, for `datapoint` and `datapointack`, its property.
 */
export interface Metadata {
  /**
   * Type of the property's values: `boolean`, `integer`, `decimal` or `string`.
   */
  readonly base_type?: string | null;
  /**
   * The property's name for people.
   */
  readonly display_name?: string | null;
  /**
   * The serial number of the device.
   */
  readonly dsn?: string | null;
  /**
   * One of the five event types.
   */
  readonly event_type?: "connectivity" | "datapoint" | "datapointack" | "location" | "registration";
  /**
   * Identity of the manufacturer.
   */
  readonly oem_id?: string | null;
  /**
   * The model of the device.
   */
  readonly oem_model?: string | null;
  /**
   * Name of the property, for datapoints and their acknowledgements.
   */
  readonly property_name?: string | null;
  /**
   * Tags of the device.
   */
  readonly resource_tags?: readonly string[] | null;
}
